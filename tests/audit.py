"""Known vulnerabilities of what requirements.lock pins, asked of the services that know them: `python -m tests.audit`.

Exit code 0: each library was asked for and none is vulnerable. 1: one is, and nobody has accepted that. 75: that could
not be found out. pip-audit alone calls it clean when a service knows none of the libraries.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from tests.containers import PROJECT
from tests.locks import RUN_TIME

ACCEPTED_FILE = PROJECT / "tests" / "accepted-vulnerabilities.toml"
CLEAN, VULNERABLE, NOT_CHECKED = 0, 1, 75  # the last is "try again later" in sysexits.h

_SERVICES = ("osv", "pypi")  # the second is asked when the first does not answer for all
_SECONDS = 15  # for one answer
_SECONDS_AT_MOST = 180  # for all of a service's


@dataclass(frozen=True)
class Vulnerability:
    library: str
    version: str
    names: tuple[str, ...]
    fixed_in: tuple[str, ...]
    summary: str

    def __str__(self) -> str:
        fixed = f"fixed in {', '.join(self.fixed_in)}" if self.fixed_in else "not fixed yet"
        return f"{self.library} {self.version}: {' '.join(self.names)} ({fixed}): {self.summary}"


@dataclass(frozen=True)
class Answer:
    """What one service said; `unknown` says why it is not all."""

    found: tuple[Vulnerability, ...]
    libraries: int
    unknown: str | None = None


@dataclass(frozen=True)
class Accepted:
    """A vulnerability that is let pass."""

    name: str
    library: str
    reason: str
    until: date

    def covers(self, vulnerability: Vulnerability) -> bool:
        return self.name in vulnerability.names and self.library == vulnerability.library


def main(arguments: list[str] | None = None) -> int:
    """Ask, and say what was found; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.audit", description=__doc__)
    parser.add_argument("--lock", type=Path, default=RUN_TIME)
    parser.add_argument("--accepted", type=Path, default=ACCEPTED_FILE)
    parser.add_argument("--service", action="append", choices=_SERVICES, help="instead of osv, and pypi if need be")
    parser.add_argument("--osv-url", default="", help="of another server that speaks OSV's API")
    parser.add_argument("--offline", action="store_true", help="exit with 0 where none of the services can be asked")
    options = parser.parse_args(arguments)

    accepted = _accepted(options.accepted)
    found: set[Vulnerability] = set()
    doubts: list[str] = []
    complete = None
    for service in options.service or _SERVICES:
        answer = ask(service, options.lock, osv_url=options.osv_url)
        found.update(answer.found)
        if answer.unknown is None:
            complete = f"{answer.libraries} libraries of {options.lock.name}, as {service} knows them"
            break
        doubts.append(f"{service}: {answer.unknown}")
    wrong = _judge(found, accepted, all_known=complete is not None)
    for line in wrong:
        sys.stdout.write(f"{line}\n")
    if wrong:
        return VULNERABLE
    if complete is None:
        sys.stdout.write(f"NOT CHECKED for known vulnerabilities: {options.lock.name}\n")
        sys.stdout.writelines(f"  {doubt}\n" for doubt in doubts)
        return CLEAN if options.offline else NOT_CHECKED
    sys.stdout.write(f"pip-audit: no known vulnerability in {complete}; {len(accepted)} accepted\n")
    return CLEAN


def ask(service: str, lock: Path, *, osv_url: str = "") -> Answer:
    """What a service knows of a lock's libraries, those for this machine."""
    command = [
        sys.executable, "-m", "pip_audit", "--require-hashes", "--disable-pip", f"--requirement={lock}",
        f"--vulnerability-service={service}", f"--timeout={_SECONDS}", "--progress-spinner=off", "--format=json",
    ]  # fmt: skip
    if service == "osv" and osv_url:
        command.append(f"--osv-url={osv_url}")
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS_AT_MOST, check=False)
        libraries = json.loads(ran.stdout)["dependencies"]
    except subprocess.TimeoutExpired:
        return Answer((), 0, f"not all answers within {_SECONDS_AT_MOST} s")
    except ValueError:  # no document: it gave up, and its last line says why
        last = ran.stderr.strip().splitlines()[-1:] or [f"pip-audit ended with {ran.returncode}"]
        return Answer((), 0, last[0])
    return read(libraries)


def read(libraries: list[dict[str, Any]]) -> Answer:
    """What pip-audit's document says. It counts as clean what a service does not know."""
    found = tuple(_vulnerability(library, told) for library in libraries for told in library.get("vulns", ()))
    passed_over = [library["skip_reason"] for library in libraries if "skip_reason" in library]
    if passed_over or not libraries:
        reason = f": {passed_over[0]}" if passed_over else ""
        return Answer(found, len(libraries), f"no answer for {len(passed_over)} of {len(libraries)} libraries{reason}")
    return Answer(found, len(libraries))


def _vulnerability(library: dict[str, Any], told: dict[str, Any]) -> Vulnerability:
    return Vulnerability(
        library["name"],
        library["version"],
        (told["id"], *told["aliases"]),
        tuple(told["fix_versions"]),
        told["description"],
    )


def _accepted(file: Path) -> list[Accepted]:
    """Raises ValueError, KeyError or TypeError when an entry is not whole."""
    entries = tomllib.loads(file.read_text(encoding="utf-8"))
    return [Accepted(name=name, **entry) for name, entry in entries.items()]


def _judge(found: set[Vulnerability], accepted: list[Accepted], *, all_known: bool) -> list[str]:
    """What is wrong, a line each."""
    today = datetime.now(UTC).date()
    covered = {entry: any(map(entry.covers, found)) for entry in accepted}
    open_ones = [item for item in found if not any(entry.covers(item) for entry in accepted)]
    return [
        *sorted(f"VULNERABLE: {item}" for item in open_ones),
        *(f"ACCEPTED ONLY UNTIL {entry.until}: {entry.name}, {entry.library}"
          for entry in accepted if entry.until < today),
        *(f"ACCEPTED, AND NOT FOUND ANY MORE: {entry.name}, {entry.library}"
          for entry, is_found in covered.items() if all_known and not is_found),
    ]  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
