"""The table of faults, and the document that it backs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from demo.process import PROJECT
from tests.faults.report import Row, summed, write_markdown

DOCUMENT = PROJECT / "docs" / "RELIABILITY.md"
ROWS = [
    Row("a fault", 3, 2, 0, 0, 1.5, 10, 0.2),
    Row("another", 1, 1, 0, 0, 0.5),
    Row("a fault", 25, 9, 1, 2, 1.0, 5, 0.4),
]


def test_rows_of_one_fault_are_added_up_and_the_longest_times_count() -> None:
    assert summed(ROWS) == [Row("a fault", 28, 11, 1, 2, 1.5, 15, 0.4), Row("another", 1, 1, 0, 0, 0.5)]


def test_the_table_replaces_the_one_of_the_run_before(tmp_path: Path) -> None:
    file = tmp_path / "document.md"
    file.write_text(DOCUMENT.read_text())
    write_markdown(ROWS, file, seed="7")
    write_markdown(ROWS[1:2], file, seed="7")
    text = file.read_text()
    assert "a fault" not in text
    assert "| another | 1 | 1 | 0 | 0 | 0.50 | 0 | 0.00 |" in text
    assert "make faults SEED=7" in text
    assert text.startswith(DOCUMENT.read_text()[:200])
    assert text.endswith(DOCUMENT.read_text()[-200:])


def test_a_document_without_a_place_for_the_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "document.md").write_text("nothing")
    with pytest.raises(ValueError, match="no place for the table"):
        write_markdown(ROWS, tmp_path / "document.md", seed="1")


def test_every_promise_names_a_test_that_there_is_and_every_fault_test_backs_one() -> None:
    named = set(re.findall(r"`(test_\w+\.py)::(test_\w+)`", DOCUMENT.read_text()))
    files = (
        "broker",
        "gateway",
        "killed_trainings",
        "ledger",
        "messages",
        "pressure",
        "rabbitmq",
        "soak",
        "split_trainings",
        "workers",
    )
    there = {
        (file.name, test)
        for file in (PROJECT / "tests" / "faults" / f"test_{name}.py" for name in files)
        for test in re.findall(r"^def (test_\w+)\(", file.read_text(), re.MULTILINE)
    }
    assert named == there
