"""A training that is killed, at whatever moment, leaves the current model whole, and the next one publishes."""

from __future__ import annotations

import multiprocessing
import signal
from datetime import timedelta
from pathlib import Path

import pytest

from shared.model_store import ModelStore
from tests.killing import publish_and_die
from tests.models import NOW, publish_small
from tests.object_store import S3

KEEP = 2


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["folder", pytest.param("s3", marks=pytest.mark.faults)])
def test_killed_before_any_step_it_loses_nothing_and_the_next_training_publishes(
    kind: str, s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    location = str(tmp_path / "models") if kind == "folder" else s3.url(monkeypatch)
    store = ModelStore.at(location, cache=tmp_path / "copies")
    processes = multiprocessing.get_context("forkserver")  # a fork of this one would hold locks of its threads
    processes.set_forkserver_preload([publish_and_die.__module__])
    day, steps, survived = 0, 0, False
    for _ in range(KEEP):
        publish_small(store, at=NOW + timedelta(days=(day := day + 1)), keep=KEEP)
    before = store.current_version()

    while not survived:
        steps, day = steps + 1, day + 1
        arguments = (
            location,
            tmp_path / "copies of one that dies",
            s3.environment,
            steps,
            NOW + timedelta(days=day),
            KEEP,
        )
        process = processes.Process(target=publish_and_die, args=arguments)
        process.start()
        process.join(timeout=30)
        assert process.exitcode in {-signal.SIGKILL, 0}, f"step {steps}"
        survived = process.exitcode == 0

        reader = ModelStore.at(location, cache=tmp_path / "copies of a gateway")
        current = reader.current_version()
        assert current == before or current == reader.versions()[-1], f"step {steps}"
        assert reader.load(current).version == current, f"step {steps}"

        before = publish_small(store, at=NOW + timedelta(days=(day := day + 2)), keep=KEEP).version
        assert reader.current_version() == reader.load(before).version == before
        versions = reader.versions()
        assert (versions[-1], len(versions)) == (before, KEEP), f"step {steps}"
        folders = {name.partition("/")[0] for name in reader.storage.names()}
        assert folders == {"CURRENT", *versions}, f"left behind at step {steps}"
    assert steps > 20, "it took no steps that were seen"
