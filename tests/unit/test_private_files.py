"""The demo's passwords: kept from one start to the next, in files that nobody else may read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo import private


@pytest.fixture(autouse=True)
def generous() -> Iterator[None]:
    """A system that lets everybody read new files."""
    before = os.umask(0)
    yield
    os.umask(before)


def test_a_password_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    file = tmp_path / "passwords" / "gateway"
    made = private.password(file)
    assert len(made) >= 32
    assert private.password(file) == made
    assert private.password(file.with_name("worker")) != made
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_a_file_that_everybody_could_read_is_replaced_by_one_that_nobody_else_can(tmp_path: Path) -> None:
    file = tmp_path / "users.acl"
    file.write_text("old")
    assert file.stat().st_mode & 0o077
    private.write(file, "new")
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("new", 0o600)
    assert list(tmp_path.iterdir()) == [file]


def test_what_a_start_that_was_killed_left_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / "gateway.unfinished").write_text("hal")
    assert private.password(tmp_path / "gateway") != "hal"
    assert [path.name for path in tmp_path.iterdir()] == ["gateway"]
