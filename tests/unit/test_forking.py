"""What a gateway's first process has imported, and how it is left, before it forks those that serve."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from demo.process import PROJECT
from shared.settings import Settings

NOTHING_IS_ASKED_THERE = "postgresql://127.0.0.1:1/unused"
FIELDS = Settings.model_fields.items()
REQUIRED = {name.upper(): NOTHING_IS_ASKED_THERE for name, field in FIELDS if field.is_required()}
AFTER_THE_CONFIGURATION = """
import gc, json, runpy, sys
runpy.run_path("gateway/gunicorn.conf.py")
from shared.forking import prepare_to_fork
prepare_to_fork()
frozen, looked_through = gc.get_freeze_count(), len(gc.get_objects())
print(json.dumps({"collects": gc.isenabled(), "frozen": frozen, "looked_through": looked_through,
                  "modules": sorted(sys.modules)}))
"""


@pytest.fixture(scope="module")
def first_process() -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", AFTER_THE_CONFIGURATION],
        cwd=PROJECT, env=os.environ | REQUIRED, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_garbage_is_collected_again_once_everything_is_imported(first_process: dict[str, Any]) -> None:
    assert first_process["collects"]


def test_what_is_there_before_the_fork_is_left_out_of_collections(first_process: dict[str, Any]) -> None:
    assert first_process["frozen"] > 100_000
    assert first_process["looked_through"] < 1000


def test_what_serves_starts_without_the_libraries_of_those_who_train(first_process: dict[str, Any]) -> None:
    assert {"scipy.sparse", "pyarrow", "threadpoolctl"} & set(first_process["modules"]) == set()
