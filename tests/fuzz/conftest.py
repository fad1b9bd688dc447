"""What the fuzz test takes from its command line."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fuzz-seed", default="1", metavar="SEED", help="the requests follow from it")
