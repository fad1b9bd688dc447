"""What every attack has: a row in the table that `make security` prints."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, TypeAlias

import pytest

from tests.tables import aligned

_TOLD: Final = "attack"

Told: TypeAlias = "Callable[[str, object], None]"
"""attack(what was tried, how that was answered): a row of the table."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--attacks", action="store_true", help="print the table of attacks and their answers at the end")


@pytest.fixture
def attack(request: pytest.FixtureRequest) -> Told:
    """Tells an attack and its answer, as it was seen. A test calls it after it has held the answer to what is right."""
    wall = request.module.WALL

    def tell(tried: str, answer: object) -> None:
        request.node.user_properties.append((_TOLD, (wall, tried, str(answer))))

    return tell


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if not config.getoption("--attacks", default=False):
        return
    terminalreporter.section("attacks tried")
    rows = [row for report in terminalreporter.stats.get("passed", []) for row in _told(report)]
    for line in aligned(("wall", "attack", "answer"), sorted(rows)):
        terminalreporter.line(line)
    failed = sum(len(terminalreporter.stats.get(kind, [])) for kind in ("failed", "error"))
    terminalreporter.line(f"{len(rows)} attacks were refused as they should be; {failed} tests failed.")


def _told(report: Any) -> Iterator[tuple[str, str, str]]:
    for name, value in report.user_properties:
        if name == _TOLD:
            yield tuple(value)
