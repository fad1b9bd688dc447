"""The bill of materials of what the images hold beside our code, in CycloneDX's JSON: `python -m tests.sbom`.

The same lock gives the same file, byte for byte.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from tests.containers import PROJECT
from tests.locks import RUN_TIME

_SECONDS = 120


def main(arguments: list[str] | None = None) -> int:
    """Write it and say where, and how much is in it; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.sbom", description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, default=PROJECT / "sbom.json")
    file: Path = parser.parse_args(arguments).file
    made = subprocess.run(
        # It warns that the lock does not say what needs what; comments in the lock do.
        [sys.executable, "-W", "ignore::UserWarning", "-m", "cyclonedx_py", "requirements", "--output-reproducible",
         "--short-PURLs", f"--pyproject={PROJECT / 'pyproject.toml'}", f"--output-file={file}", str(RUN_TIME)],
        timeout=_SECONDS, check=False,
    )  # fmt: skip
    if made.returncode:
        return made.returncode
    components = json.loads(file.read_text(encoding="utf-8"))["components"]
    sys.stdout.write(f"{file}: {len(components)} components, from {RUN_TIME.name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
