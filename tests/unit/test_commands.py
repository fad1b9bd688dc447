"""`python -m worker models` and `rollback`: what there is, what was refused, and the way back."""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from demo.process import PROJECT
from shared.errors import ModelRejected, NoSuchModel
from shared.model_store import ModelStore
from shared.settings import Settings
from tests.models import described, publish_ring, publish_small
from worker.commands import models, rollback

Say = Callable[..., str]

NOWHERE = {
    f"{name}_url": "nowhere://" for name in ("user_db", "catalog_db", "engagement_db", "jobs_db", "redis", "broker")
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(**NOWHERE, model_store=str(tmp_path / "models"))


@pytest.fixture
def store(settings: Settings) -> ModelStore:
    return ModelStore.at(settings.model_store, cache=settings.model_cache)


@pytest.fixture
def say(settings: Settings, capsys: pytest.CaptureFixture[str]) -> Say:
    """What a command says."""

    def say(*words: str) -> str:
        parser = argparse.ArgumentParser()
        commands = parser.add_subparsers()
        for command in (models, rollback):
            command.add(commands)
        arguments = parser.parse_args(words)
        assert arguments.run(settings, arguments) == 0
        return capsys.readouterr().out

    return say


def ago(**time: float) -> datetime:
    return datetime.now(UTC) - timedelta(**time)


@pytest.fixture
def three(store: ModelStore) -> list[str]:
    """Versions of three days, the last one current, and one that was refused."""
    versions = [
        publish_small(store, at=ago(days=day), description=described(0.2 + day / 100)).version for day in (4, 3, 2)
    ]
    with pytest.raises(ModelRejected):
        publish_ring(store, range(1, 3), at=ago(hours=5), least_share=0.9, description=described(0.1))
    return versions


# models


def test_without_a_model_it_says_what_to_do(say: Say) -> None:
    assert say("models") == "there is no model yet: `python -m worker train` makes one\n"
    assert json.loads(say("models", "--json")) == {"current": None, "versions": [], "refusals": []}


def test_every_version_is_on_a_line_with_what_is_known_of_it(say: Say, three: list[str]) -> None:
    head, *lines = say("models").split("\n\n")[0].splitlines()
    assert head.split() == ["version", "trained", "estimator", "accuracy", "titles", "neighbours", "size"]
    assert [line.split()[0] for line in lines] == three
    assert [" current " in line for line in lines] == [False, False, True]
    cells = re.split(r"\s{2,}", lines[2].strip())
    assert cells[1:] == [
        "current", "2 days ago", "test", "ndcg@10 0.2200 (0.1100 to 0.3300)", "3", "4", "0.0 MB"
    ]  # fmt: skip


def test_refusals_come_below_with_their_reasons_in_full(say: Say, store: ModelStore, three: list[str]) -> None:
    _, refusals = say("models").split("\n\n")
    head, line = refusals.splitlines()
    assert head.split() == ["refused", "accuracy", "why"]
    assert line.startswith("5 hours ago  ndcg@10 0.1000 (0.0500 to 0.1500)  model ")
    assert line.rstrip().endswith(store.refusals()[0].reason)


def test_everything_is_there_for_programs(say: Say, store: ModelStore, three: list[str]) -> None:
    said = json.loads(say("models", "--json"))
    assert said["current"] == three[-1]
    assert [(one["version"], one["current"]) for one in said["versions"]] == [
        (version, version == three[-1]) for version in three
    ]
    assert said["versions"][0]["evidence"]["trials"][0]["seconds"] == 1.5
    assert [one["reason"] for one in said["refusals"]] == [store.refusals()[0].reason]


def test_a_version_that_cannot_be_read_is_listed_with_the_reason(say: Say, store: ModelStore, three: list[str]) -> None:
    store.storage.write(f"{three[0]}/manifest.json", b"{")
    [line] = [line for line in say("models").splitlines() if line.startswith(three[0])]
    assert "cannot be read" in line
    assert "cannot be read" in json.loads(say("models", "--json"))["versions"][0]["problem"]


def test_a_current_version_that_is_gone_is_said(say: Say, store: ModelStore, three: list[str]) -> None:
    store.remove(three[-1])
    assert f"the current model, {three[-1]}, is gone: `python -m worker rollback VERSION`" in say("models")
    store.storage.delete("CURRENT")
    assert "no model is current: " in say("models")


def test_on_a_narrow_terminal_the_names_stay_whole(say: Say, three: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "70")
    said = say("models")
    assert all(version in said for version in three)
    assert max(map(len, re.sub("\x1b.*?m", "", said).splitlines())) <= 70


# rollback


def test_it_makes_the_version_before_the_current_one_current_step_by_step(
    say: Say, store: ModelStore, three: list[str]
) -> None:
    assert say("rollback").startswith(f"model {three[1]} is current, {three[2]} was; ")
    assert store.current_version() == three[1]
    say("rollback")
    assert store.current_version() == three[0]
    with pytest.raises(NoSuchModel, match=f"no version is older than the current one .{three[0]}.; there are "):
        say("rollback")
    assert store.current_version() == three[0]


def test_it_makes_the_version_that_is_named_current_be_it_older_or_newer(
    say: Say, store: ModelStore, three: list[str]
) -> None:
    for version in (three[0], three[2], three[2]):
        say("rollback", version)
        assert store.current_version() == version


def test_without_any_version_it_says_what_to_do(say: Say) -> None:
    with pytest.raises(NoSuchModel, match=r"there are none: run `python -m worker train`"):
        say("rollback")


@pytest.mark.parametrize("name", ["20240501T120000Z-00000000", "../..", ""])
def test_a_version_that_is_not_there_is_an_error_that_lists_those_that_are(
    say: Say, store: ModelStore, three: list[str], name: str
) -> None:
    with pytest.raises(NoSuchModel, match=f"there is no version {re.escape(name)}; there are {', '.join(three)}"):
        say("rollback", name)
    assert store.current_version() == three[-1]


def test_a_version_that_does_not_load_is_not_made_current(say: Say, store: ModelStore, three: list[str]) -> None:
    store.storage.write(f"{three[1]}/weights.npy", b"altered")
    with pytest.raises(ModelRejected, match="is not what was published"):
        say("rollback")
    assert store.current_version() == three[-1]


# As processes.


def worker(settings: Settings, *words: str, **changes: Any) -> subprocess.CompletedProcess[str]:
    environment = {name.upper(): "nowhere://" for name in NOWHERE} | {"MODEL_STORE": settings.model_store}
    return subprocess.run(
        [sys.executable, "-m", "worker", *words],
        cwd=PROJECT,
        env=os.environ | environment | changes,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_in_a_pipe_there_are_no_colours_and_no_line_is_cut(settings: Settings, three: list[str]) -> None:
    done = worker(settings, "models", TERM="xterm-256color", COLUMNS="40")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert "…" not in done.stdout
    assert [line.split()[0] for line in done.stdout.splitlines()[1:4]] == three


@pytest.mark.parametrize(
    ("words", "changes", "said"),
    [
        pytest.param(["rollback"], {}, "worker: no version is older than the current one", id="nothing to go back to"),
        pytest.param(
            ["models"],
            {"MODEL_STORE": "gs://bucket"},
            "worker: MODEL_STORE: gs://bucket needs a driver that is not there. Please install gcsfs",
            id="no driver",
        ),
    ],
)
def test_what_goes_wrong_is_one_line_and_no_traceback(
    settings: Settings, words: list[str], changes: dict[str, str], said: str
) -> None:
    done = worker(settings, *words, **changes)
    assert (done.returncode, done.stdout) == (1, "")
    [line] = done.stderr.splitlines()
    assert line.startswith(said)
