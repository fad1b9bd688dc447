"""The log: a line each, with its time, its process and the request that it is about."""

from __future__ import annotations

import re
import subprocess
import sys

from demo.process import PROJECT

LOGS = """
import logging
from shared.telemetry import configure_logging, request_id
configure_logging("INFO")
logging.getLogger("a.library").info("before")
request_id.set("abc-1")
logging.getLogger("ours").warning("during %s", "it")
logging.getLogger("ours").debug("not said")
"""


def test_a_line_names_the_request_it_is_about_or_a_dash() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOGS], cwd=PROJECT, capture_output=True, text=True, timeout=60, check=True
    )
    time = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}Z"
    patterns = [rf"{time} INFO a\.library \[\d+\] \[-\] before", rf"{time} WARNING ours \[\d+\] \[abc-1\] during it"]
    lines = done.stderr.splitlines()
    assert len(lines) == len(patterns)
    for line, pattern in zip(lines, patterns, strict=True):
        assert re.fullmatch(pattern, line), line
