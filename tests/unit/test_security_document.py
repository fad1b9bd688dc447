"""docs/SECURITY.md keeps its word: each promise names tests that there are, and each wall that is attacked is there."""

from __future__ import annotations

import re

import pytest

from demo.process import PROJECT
from tests.guides import Guide

GUIDE = Guide("SECURITY.md")
TESTS = PROJECT / "tests" / "security"
NAMED = re.findall(r"`(test_\w+\.py)::(test_\w+)`", GUIDE.text)


def test_its_promises_name_tests() -> None:
    promises = re.findall(r"^\| (?!promise |---).+\| `test_.+\|$", GUIDE.text, re.MULTILINE)
    assert len(promises) > 10
    assert len(NAMED) == len(set(NAMED)) > 30


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_a_test_that_it_names_is_there(file: str, test: str) -> None:
    assert re.search(rf"^def {test}\(", (TESTS / file).read_text(encoding="utf-8"), re.MULTILINE)


def test_every_file_of_attacks_is_behind_a_promise() -> None:
    assert {path.name for path in TESTS.glob("test_*.py")} == {file for file, _ in NAMED}


def test_every_link_leads_somewhere() -> None:
    assert GUIDE.dangling_links() == []


def test_its_settings_are_there_with_the_defaults_it_tells() -> None:
    assert GUIDE.wrong_settings() == []
