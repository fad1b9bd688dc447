"""A training that is split over real workers: its files are the same to the byte, whatever is killed or lost."""

from __future__ import annotations

import hashlib
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import redis

from benchmarks.platform.loading import load
from benchmarks.platform.synthetic import Platform as MadeUp
from benchmarks.platform.synthetic import Size
from demo.process import Process
from demo.servers import Postgres, Valkey
from shared import broker
from shared.contracts import DEAD_SUFFIX, WORK_QUEUE
from shared.model import ARRAYS
from shared.model_store import ModelStore
from shared.parts import Databases
from tests.object_store import S3
from tests.platform import Platform, wait_for
from tests.processes import WorkerProcess
from worker.training.train import Training

SIZE = Size(users=2_000, titles=600, interactions=60_000)
BLOCKS = 60
WINDOW = 8
SETTINGS = {"training_block_titles": SIZE.titles // BLOCKS, "chunks_in_flight": WINDOW, "training_threads": 1}
Meanwhile = Callable[[UUID], None]


@pytest.fixture(scope="module")
def platform(postgres: Postgres, valkey: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    platform = Platform(postgres, valkey, tmp_path_factory.mktemp("blocks") / "models", prefix="blocks_", redis_db=14)
    load(MadeUp(SIZE), platform.urls, progress=lambda _done, _rows: None)
    yield platform
    platform.close()


@pytest.fixture
def store(platform: Platform, tmp_path: Path) -> Path:
    platform.model_store = tmp_path / "models"
    with redis.Redis.from_url(platform.broker_url) as queue:
        queue.flushdb()
    return platform.model_store


@pytest.fixture(scope="module")
def single(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a training in one process publishes."""
    store = tmp_path_factory.mktemp("single") / "models"
    platform.train(model_store=str(store))
    return checksums(str(store))


def checksums(location: str, cache: Path = Path("unused")) -> dict[str, str]:
    """Of the current model's files, as they lie in the store."""
    models = ModelStore.at(location, cache=cache)
    version = models.current_version()
    read = models.storage.read
    return {name: hashlib.sha256(read(f"{version}/{name}.npy")).hexdigest() for name in ARRAYS}


def train_split(platform: Platform, meanwhile: Meanwhile, **changes: Any) -> None:
    """Train; `meanwhile` is called once, when the first blocks are on the queue, and the trainer waits for it."""
    settings = platform.settings(**SETTINGS, **changes)
    databases = Databases.connect(settings, processes=1)
    publish = broker.block_publisher(broker.celery_app(settings, "tests"))
    waiting = [meanwhile]

    def publish_and_wait(training: UUID, blocks: Sequence[int]) -> None:
        publish(training, blocks)
        while waiting:
            waiting.pop()(training)

    models = ModelStore.at(settings.model_store, cache=settings.model_cache)
    Training(databases.engagement, databases.jobs, models, settings, publish_blocks=publish_and_wait).full()


def made(location: str, training: UUID, cache: Path = Path("unused")) -> int:
    names = ModelStore.at(location, cache=cache).storage.names()
    return sum(name.startswith(f"blocks-{training}/rows-") for name in names)


def nothing_is_left(location: str, cache: Path = Path("unused")) -> bool:
    return not [name for name in ModelStore.at(location, cache=cache).storage.names() if name.startswith("blocks-")]


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_make_blocks_and_the_files_are_those_of_one_process(
    platform: Platform, store: Path, single: dict[str, str], tmp_path: Path, workers: int,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    caplog.set_level("INFO")
    with ExitStack() as running:
        for number in range(workers):
            running.enter_context(WorkerProcess(platform, tmp_path / f"{number}.log", worker_concurrency=1))
        train_split(platform, lambda training: wait_for(lambda: made(str(store), training) == WINDOW))
    assert checksums(str(store)) == single
    assert "60 blocks in " in caplog.text
    assert "no worker took part" not in caplog.text
    assert nothing_is_left(str(store))


def test_with_an_object_store_too(
    platform: Platform, store: Path, single: dict[str, str], tmp_path: Path, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = {"model_store": s3.url(monkeypatch), "model_cache": str(tmp_path / "cache of a worker")}
    with WorkerProcess(platform, tmp_path / "worker.log", worker_concurrency=2, **places):
        location, cache = places["model_store"], tmp_path / "cache of the trainer"
        wait: Meanwhile = lambda training: wait_for(lambda: made(location, training, cache) == WINDOW)  # noqa: E731
        train_split(platform, wait, model_store=location, model_cache=str(cache))
    assert checksums(location, cache) == single
    assert nothing_is_left(location, cache)
    assert len(list((tmp_path / "cache of a worker").glob("blocks-*/[!.]*"))) == 1


def test_a_worker_is_killed_and_every_message_lost_in_the_middle_and_it_makes_no_difference(
    platform: Platform, store: Path, single: dict[str, str], tmp_path: Path
) -> None:
    with WorkerProcess(platform, tmp_path / "worker.log", worker_concurrency=1) as worker:

        def kill(training: UUID) -> None:
            wait_for(lambda: made(str(store), training) > 0)
            worker.process.kill()
            with redis.Redis.from_url(platform.broker_url) as queue:
                queue.flushdb()

        train_split(platform, kill)
    assert checksums(str(store)) == single
    assert nothing_is_left(str(store))


def test_a_process_of_the_pool_that_is_killed_costs_its_block_only(
    platform: Platform, store: Path, single: dict[str, str], tmp_path: Path
) -> None:
    with WorkerProcess(platform, tmp_path / "worker.log", worker_concurrency=1) as worker:

        def kill(training: UUID) -> None:
            worker.pool()[0].send_signal(signal.SIGKILL)
            wait_for(lambda: made(str(store), training) >= WINDOW - 2)  # the next process goes on

        train_split(platform, kill)
        assert worker.process.running
    assert checksums(str(store)) == single


def test_messages_that_come_twice_and_late_do_no_harm(
    platform: Platform, store: Path, single: dict[str, str], tmp_path: Path
) -> None:
    copies: list[bytes] = []
    with redis.Redis.from_url(platform.broker_url) as queue:

        def copy(_training: UUID) -> None:
            copies.extend(queue.lrange(WORK_QUEUE, 0, -1))
            queue.lpush(WORK_QUEUE, *copies)

        train_split(platform, copy)
        assert len(copies) == WINDOW
        with WorkerProcess(platform, tmp_path / "worker.log", worker_concurrency=1):
            wait_for(lambda: not queue.llen(WORK_QUEUE) and not queue.hlen("unacked"))
        assert not queue.llen(WORK_QUEUE + DEAD_SUFFIX)
    assert checksums(str(store)) == single
    assert nothing_is_left(str(store))


def test_what_a_killed_trainer_left_is_removed_by_the_next_training_split_or_not(
    platform: Platform, store: Path, single: dict[str, str]
) -> None:
    models = ModelStore.at(str(store), cache=store)
    models.storage.write(f"blocks-{uuid4()}/manifest.json", b"{}")
    models.storage.write(f"blocks-{uuid4()}/rows-3", b"of a worker that was late")
    platform.train()
    assert nothing_is_left(str(store))
    assert checksums(str(store)) == single


def test_the_command_splits_its_training_when_the_setting_says_so(
    platform: Platform, store: Path, single: dict[str, str], tmp_path: Path
) -> None:
    with WorkerProcess(platform, tmp_path / "worker.log", worker_concurrency=1, log_level="DEBUG") as worker:
        command = [sys.executable, "-m", "worker", "train"]
        trainer = Process(command, log=tmp_path / "trainer.log", environment=platform.environment(**SETTINGS))
        assert trainer.wait(60) == 0
        wait_for(lambda: "block 0 of training" in worker.log())
    assert checksums(str(store)) == single
