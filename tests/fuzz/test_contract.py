"""Thousands of requests, right and wrong, made up from the service's own document: make fuzz."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from demo.process import PROJECT
from tests.conftest import Service

MINUTES = 8


@pytest.mark.fuzz
@pytest.mark.timeout(60 * MINUTES + 120)
def test_the_running_service_keeps_to_its_document_whatever_it_is_asked(
    service: Service, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    """It prints what it tried, and how to send again what failed."""
    report = tmp_path / "report.json"
    command = [
        Path(sys.executable).with_name("schemathesis"),
        f"--config-file={PROJECT / 'tests/fuzz/schemathesis.toml'}",
        "run",
        f"{service.url}/openapi.json",
        f"--seed={pytestconfig.getoption('--fuzz-seed', default='1')}",
        "--report=json",
        f"--report-json-path={report}",
    ]
    done = subprocess.run(
        command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(PROJECT)}, timeout=60 * MINUTES, check=False
    )

    assert done.returncode == 0
    found = json.loads(report.read_text())
    assert found["operations"]["tested"] == found["operations"]["total"] > 0
    assert {phase["status"] for phase in found["phases"].values()} == {"success"}
    assert found["test_cases"]["generated"] >= 2000
    assert service.client.get("/health/ready").body["status"] == "ready"
    assert "Traceback" not in service.gateway.log.read_text()
