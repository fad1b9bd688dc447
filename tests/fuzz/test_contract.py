"""Thousands of requests, right and wrong, made up from the service's own document: make fuzz."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.client import Client
from demo.process import PROJECT, Process
from demo.server import free_port
from gateway.auth.api_keys import ApiKeyFile, make_key
from gateway.auth.principals import Scope
from tests.conftest import GATEWAY, Service, wait_until_ready
from tests.receiver import NO_RECEIVER, SECRET

MINUTES = 8


@pytest.fixture
def guarded(service: Service, tmp_path: Path) -> Iterator[tuple[Process, str, str]]:
    """A gateway that wants to know who asks, beside the service's own; its address, and a key that opens all of it."""
    key, entry = make_key("fuzz", list(Scope), expires=None)
    keys, port = tmp_path / "keys.json", free_port()
    keys.write_text(ApiKeyFile(keys=(entry,)).model_dump_json())
    environment = service.platform.environment(
        web_concurrency=2, web_bind=f"127.0.0.1:{port}", client_seconds=1, reuse_seconds=2,
        callback_hosts=NO_RECEIVER, callback_secret=SECRET, auth="required", api_keys_file=keys,
    )  # fmt: skip
    gateway = Process(GATEWAY, log=tmp_path / "gateway.log", environment=environment)
    try:
        wait_until_ready(Client(f"http://127.0.0.1:{port}"), tmp_path)
        yield gateway, f"http://127.0.0.1:{port}", key
    finally:
        gateway.stop()


@pytest.mark.fuzz
@pytest.mark.timeout(60 * MINUTES + 120)
def test_the_running_service_keeps_to_its_document_whatever_it_is_asked(
    service: Service, guarded: tuple[Process, str, str], tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    """It prints what it tried, and how to send again what failed."""
    gateway, url, key = guarded
    report = tmp_path / "report.json"
    command = [
        Path(sys.executable).with_name("schemathesis"),
        f"--config-file={PROJECT / 'tests/fuzz/schemathesis.toml'}",
        "run",
        f"{url}/openapi.json",
        f"--header=Authorization: Bearer {key}",
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
    assert "Traceback" not in gateway.log.read_text()
