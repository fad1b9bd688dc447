"""`python -m benchmarks blocks`, on a platform small enough for a test."""

from __future__ import annotations

import subprocess
import sys

import pytest

from demo.process import PROJECT


@pytest.mark.timeout(240)
def test_it_tells_how_long_each_training_took_and_that_the_bytes_are_the_same() -> None:
    size = ["--users", "500", "--titles", "200", "--interactions", "5000", "--workers", "1", "--block-titles", "20"]
    size += ["--rounds", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "blocks", *size],
        cwd=PROJECT, env={}, capture_output=True, text=True, timeout=220, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("| ")][1:]
    assert [row.rpartition("| ")[2] for row in rows] == [" |", "the same |", "the same |"]
    assert "of 10 |" in rows[-1]
    assert "four workers cannot be faster than two" in done.stdout
