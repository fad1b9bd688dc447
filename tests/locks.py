"""What a lock of the requirements says: which libraries, in which versions, and the hashes of their files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

from tests.containers import PROJECT

RUN_TIME = PROJECT / "requirements.lock"
DEVELOPMENT = PROJECT / "requirements-dev.lock"

_HASH = re.compile(r"--hash=(\S+)")


@dataclass(frozen=True)
class Locked:
    """One version of one library, for the machines that its marker fits."""

    requirement: Requirement
    hashes: tuple[str, ...]

    @property
    def name(self) -> NormalizedName:
        return canonicalize_name(self.requirement.name)

    @property
    def version(self) -> str:
        return str(self.requirement.specifier).removeprefix("==")

    @property
    def is_for_this_machine(self) -> bool:
        return self.requirement.marker is None or self.requirement.marker.evaluate()


def locked(lock: Path) -> list[Locked]:
    """What a lock pins, in its order."""
    return [Locked(Requirement(_HASH.sub("", line).strip()), tuple(_HASH.findall(line))) for line in _lines(lock)]


def direct(requirements: Path) -> list[Requirement]:
    """What a file of requirements asks for, the files that it includes (-r) too."""
    found: list[Requirement] = []
    for line in _lines(requirements):
        if line.startswith("-r "):
            found += direct(requirements.parent / line.removeprefix("-r "))
        else:
            found.append(Requirement(line))
    return found


def _lines(file: Path) -> Iterator[str]:
    text = re.sub(r"(^|\s)#.*", "", file.read_text(encoding="utf-8"))
    for line in text.replace("\\\n", " ").splitlines():
        if line.strip():
            yield line.strip()
