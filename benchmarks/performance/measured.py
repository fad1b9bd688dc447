"""Run a module and write down what it took: python -m benchmarks.performance.measured FILE MODULE ARGUMENTS..."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path


def main() -> int:
    """Returns the exit status of what was run; the file holds its seconds, and its largest resident set in bytes."""
    file, *command = sys.argv[1:]
    begun = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", *command])  # noqa: S603 - we are given it by rows/training.py
    _, status, usage = os.wait4(process.pid, 0)
    taken = {"seconds": time.perf_counter() - begun, "peak_bytes": usage.ru_maxrss * 1024}  # Linux counts in KB
    Path(file).write_text(json.dumps(taken), encoding="utf-8")
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main())
