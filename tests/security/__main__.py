"""Everything that `make security` does, in turn; its last line says what was clean: `python -m tests.security`.

What fails does not keep the rest from running.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Mapping, Sequence

from tests.audit import NOT_CHECKED
from tests.containers import PROJECT

_PYTHON = (sys.executable, "-m")
CHECKS: dict[str, tuple[str, ...]] = {
    "attacks": (*_PYTHON, "pytest", "tests/security", "--attacks"),
    "bandit": (*_PYTHON, "bandit", "--quiet", "--configfile=pyproject.toml", "--recursive", "shared", "gateway",
               "worker", "demo"),
    "hadolint and docker-compose": (*_PYTHON, "tests.containers"),
    "pip-audit": (*_PYTHON, "tests.audit"),
}  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Check everything; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.security", description=__doc__)
    parser.add_argument("--offline", action="store_true", help="what cannot be checked here is said, and no failure")
    options, for_pytest = parser.parse_known_args(arguments)
    line, code = verdict(run({**CHECKS, "attacks": (*CHECKS["attacks"], *for_pytest)}))
    sys.stdout.write(f"\n{line}\n")
    return 0 if options.offline and code == NOT_CHECKED else code


def run(checks: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Run each command; returns the exit codes."""
    codes = {}
    for name, command in checks.items():
        sys.stdout.write(f"\n--- {name}\n")
        sys.stdout.flush()
        codes[name] = subprocess.run(command, cwd=PROJECT, check=False).returncode  # each has timeouts of its own
    return codes


def verdict(codes: Mapping[str, int]) -> tuple[str, int]:
    """What was clean, what was not and what is not known, in one line, and the exit code for all."""
    clean = [name for name, code in codes.items() if code == 0]
    unknown = [name for name, code in codes.items() if code == NOT_CHECKED]
    wrong = [name for name in codes if name not in clean + unknown]
    parts = {"FAILED": wrong, "NOT CHECKED": unknown, "clean": clean}
    line = "; ".join(f"{what}: {', '.join(names)}" for what, names in parts.items() if names)
    return f"Security: {line}.", 1 if wrong else NOT_CHECKED if unknown else 0


if __name__ == "__main__":
    sys.exit(main())
