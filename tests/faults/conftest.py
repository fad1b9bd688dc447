"""What every fault test has: the report that is printed at the end."""

from __future__ import annotations

import argparse
import random
import re
from collections.abc import Generator, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tests.faults.cluster import Cluster
from tests.faults.report import Row, around_table, summed, table, write_json, write_markdown
from tests.faults.sample import small_sample

SEED = "1"
SOAK = 60.0  # s

_ROWS = pytest.StashKey[list[Row]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--faults-json", type=Path, metavar="FILE", help="write the table of faults to FILE")
    parser.addoption(
        "--faults-markdown", type=Path, metavar="FILE", help="put the table of faults into FILE, at its mark"
    )
    parser.addoption("--faults-seed", default=SEED, metavar="SEED", help="what is drawn at random follows from it")
    parser.addoption(
        "--faults-soak",
        type=_seconds,
        default=SOAK,
        metavar="TIME",
        help="how long faults come at random: 90s, 10m, 1h",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_ROWS] = []
    if (file := config.getoption("--faults-markdown", default=None)) is not None:
        if [(config.rootpath / argument).resolve() for argument in config.args] != [Path(__file__).parent]:
            raise pytest.UsageError("--faults-markdown: it takes a whole run, of tests/faults")
        try:
            around_table(file)
        except (OSError, ValueError) as error:  # better now than at the end
            raise pytest.UsageError(f"--faults-markdown: {error}") from None


def pytest_sessionfinish(session: pytest.Session) -> None:
    """One of several processes that share the tests hands its rows to the one that prints them."""
    if (output := getattr(session.config, "workeroutput", None)) is not None:
        output["faults"] = [asdict(row) for row in session.config.stash[_ROWS]]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Such a process has ended, perhaps by a crash."""
    rows = getattr(node, "workeroutput", {}).get("faults", [])
    node.config.stash[_ROWS] += [Row(**row) for row in rows]


@pytest.fixture(scope="session")
def report(pytestconfig: pytest.Config) -> list[Row]:
    """A row per fault: append yours."""
    return pytestconfig.stash[_ROWS]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    outcome = yield
    if outcome.failed and "report" in getattr(item, "fixturenames", ()):  # whether or not it came to its own row
        item.config.stash[_ROWS].append(Row(f"FAILED: {item.name}", 0, 0, 0, wrong=1, recovery_seconds=0.0))
    return outcome


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config) -> None:
    if rows := summed(config.stash[_ROWS]):
        seed = config.getoption("--faults-seed", default=SEED)
        terminalreporter.section(f"faults, seed {seed}")
        terminalreporter.write("\n".join(table(rows)) + "\n")
        if (file := config.getoption("--faults-json", default=None)) is not None:
            write_json(rows, file)
        if (file := config.getoption("--faults-markdown", default=None)) is not None:
            if exitstatus or any(map(terminalreporter.stats.get, ("deselected", "skipped"))):
                terminalreporter.write_line(f"{file} is left as it was: it takes a whole run in which nothing failed")
            else:
                write_markdown(rows, file, seed=seed)


@pytest.fixture(scope="session")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("cluster"), small_sample())
    yield cluster
    cluster.close()


@pytest.fixture
def cluster(shared_cluster: Cluster) -> Cluster:
    """A cluster with nothing wrong and nothing to do."""
    shared_cluster.heal()
    shared_cluster.forget_jobs()
    return shared_cluster


@pytest.fixture
def seed(pytestconfig: pytest.Config) -> str:
    """What everything that is drawn at random follows from."""
    return str(pytestconfig.getoption("--faults-seed", default=SEED))


@pytest.fixture
def draw(request: pytest.FixtureRequest, seed: str) -> random.Random:
    """The test's own chance: the same with the same seed, whichever tests run beside it."""
    return random.Random(f"{seed} {request.node.nodeid}")


@pytest.fixture
def soak(pytestconfig: pytest.Config) -> float:
    """How long faults come at random, in seconds."""
    return float(pytestconfig.getoption("--faults-soak", default=SOAK))


def _seconds(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,6}[smh]", text):
        raise argparse.ArgumentTypeError(f"{text} is not a time such as 90s, 10m or 1h")
    return float(text[:-1]) * {"s": 1, "m": 60, "h": 3600}[text[-1]]
