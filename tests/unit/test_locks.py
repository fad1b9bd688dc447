"""The locks pin what the requirements ask for and all that comes with it, and nothing else, each file by its hash."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.containers import PROJECT
from tests.locks import DEVELOPMENT, RUN_TIME, direct, locked

REQUIREMENTS = {RUN_TIME: PROJECT / "requirements.txt", DEVELOPMENT: PROJECT / "requirements-dev.txt"}

every_lock = pytest.mark.parametrize("lock", REQUIREMENTS, ids=lambda path: path.name)


def needs(requirement: Requirement) -> Iterator[Requirement]:
    """What a library that is installed here needs on this machine."""
    for line in metadata.requires(requirement.name) or []:
        needed = Requirement(line)
        extras = requirement.extras or {""}
        if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras):
            yield needed


@every_lock
def test_a_lock_pins_what_is_asked_for_as_it_is_asked_for(lock: Path) -> None:
    pinned = {library.name: library.version for library in locked(lock) if library.is_for_this_machine}
    asked = {canonicalize_name(named.name): named for named in direct(REQUIREMENTS[lock])}
    loose = [str(named) for named in asked.values() if not re.fullmatch(r"==[0-9][^*]*", str(named.specifier))]
    assert loose == []
    differing = [name for name, named in asked.items() if str(named.specifier) != f"=={pinned.get(name)}"]
    assert differing == [], "run `make lock`"


@every_lock
def test_a_lock_holds_all_that_is_needed_and_nothing_else(lock: Path) -> None:
    pinned = {library.name: library.version for library in locked(lock) if library.is_for_this_machine}
    wanted = direct(REQUIREMENTS[lock])
    reached: set[tuple[str, frozenset[str]]] = set()
    missing = []
    while wanted:
        requirement = wanted.pop()
        name = canonicalize_name(requirement.name)
        if (name, frozenset(requirement.extras)) in reached:
            continue
        reached.add((name, frozenset(requirement.extras)))
        if name not in pinned or not requirement.specifier.contains(pinned[name], prereleases=True):
            missing.append(str(requirement))
        else:
            wanted += needs(requirement)
    assert missing == [], "run `make lock`"
    assert pinned.keys() - {name for name, _ in reached} == set(), "run `make lock`"


@every_lock
def test_each_library_of_a_lock_is_pinned_to_one_version_and_to_the_hashes_of_its_files(lock: Path) -> None:
    libraries = locked(lock)
    assert [library.name for library in libraries if not re.fullmatch(r"[0-9]\S*", library.version)] == []
    assert [library.name for library in libraries if not library.hashes] == []
    assert [
        value for library in libraries for value in library.hashes if not re.fullmatch(r"sha256:\w{64}", value)
    ] == []
    here = [library.name for library in libraries if library.is_for_this_machine]
    assert len(here) == len(set(here))


def test_the_service_is_tested_with_the_very_files_that_its_images_hold() -> None:
    for_development = {(library.name, library.version, library.hashes) for library in locked(DEVELOPMENT)}
    run_time = {(library.name, library.version, library.hashes) for library in locked(RUN_TIME)}
    assert {name for name, _, _ in run_time - for_development} == set(), "run `make lock`"


@every_lock
def test_a_lock_names_no_address_to_take_files_from(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8")
    assert "://" not in text
    assert not re.search(r"^\s*-", re.sub(r"^    --hash=", "", text, flags=re.MULTILINE), flags=re.MULTILINE)
