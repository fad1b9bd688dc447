"""A training that is split comes to the same bytes, whoever makes which block, and whatever is lost on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID, uuid4

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from shared.errors import BrokerUnavailable, StorageUnavailable
from shared.model_store import ModelStore
from shared.settings import Settings
from tests.estimators import drawn
from tests.histories import LIMITS
from tests.object_store import S3
from worker.training.blocks.material import Material
from worker.training.blocks.trainer import Blocks
from worker.training.blocks.workbench import Workbench
from worker.training.estimators.cooccurrence import CoOccurrence
from worker.training.interactions import Histories

FAMILY = CoOccurrence(history_exponent=0.4, user_exponent=0.5, title_exponent=0.2, order=0.2, neighbours=7)
TITLES = 40
Publish = Callable[[UUID, Sequence[int]], None]


class Bench:
    """A model store, with workers that are one of this process's objects each."""

    def __init__(self, location: str, folder: Path) -> None:
        self.location, self.folder = location, folder
        self.store = ModelStore.at(location, cache=folder / "cache")
        self.trainers = self.worker()

    def worker(self, host: str = "host") -> Workbench:
        """A worker's process on a host."""
        return Workbench(ModelStore.at(self.location, cache=self.folder / host), self.folder / host / "blocks")

    def split(self, histories: Histories, publish: Publish, **changes: object) -> sparse.csr_array:
        """What a split training makes of it."""
        blocks = Blocks(self.trainers, publish, of_a_service(self.location, **changes))
        return blocks.fit(FAMILY.rows(histories), threads=1)

    def files(self) -> list[str]:
        return self.store.storage.names()


def of_a_service(location: str, **changes: object) -> Settings:
    urls = dict.fromkeys(
        ("user_db_url", "catalog_db_url", "engagement_db_url", "jobs_db_url", "redis_url", "broker_url"), "unused"
    )
    return Settings(**(urls | {"model_store": location, "training_block_titles": 3} | changes))


def whole(histories: Histories) -> sparse.csr_array:
    return FAMILY.fit(histories, LIMITS)


def same_bytes(one: sparse.csr_array, other: sparse.csr_array) -> bool:
    return all(
        (a.dtype, a.tobytes()) == (b.dtype, b.tobytes())
        for a, b in ((one.indptr, other.indptr), (one.indices, other.indices), (one.data, other.data))
    )


def nobody(_training: UUID, _blocks: Sequence[int]) -> None:
    """A queue that nobody reads."""


@pytest.fixture(params=["folder", "s3"])
def bench(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    s3: S3 | None = request.getfixturevalue("s3") if request.param == "s3" else None
    yield Bench(s3.url(monkeypatch) if s3 else str(tmp_path / "models"), tmp_path)


@pytest.fixture
def histories() -> Histories:
    return drawn(60, TITLES, seed=1)


@settings(max_examples=40, deadline=None)
@given(
    users=st.integers(1, 12), titles=st.integers(2, 20), block=st.integers(1, 25), seed=st.integers(0, 2**20),
    helped=st.sets(st.integers(0, 20)), window=st.integers(1, 8),
)  # fmt: skip
def test_whatever_part_workers_make_it_is_what_one_process_makes(
    users: int, titles: int, block: int, seed: int, helped: set[int], window: int
) -> None:
    h = drawn(users, titles, seed)
    with TemporaryDirectory() as folder:
        bench = Bench(f"{folder}/models", Path(folder))
        workers = [bench.worker(), bench.worker()]

        def some_are_made(training: UUID, blocks: Sequence[int]) -> None:
            for number in helped & set(blocks):
                workers[number % 2].work(training, number)

        split = bench.split(h, some_are_made, training_block_titles=block, chunks_in_flight=window)
        assert same_bytes(split, whole(h))
        assert bench.files() == []


def test_workers_take_every_block_off_a_trainer_that_waits_for_them(bench: Bench, histories: Histories) -> None:
    worker, made = bench.worker(), list[int]()

    def all_are_made(training: UUID, blocks: Sequence[int]) -> None:
        made.extend(number for number in blocks if worker.work(training, number))

    assert same_bytes(bench.split(histories, all_are_made, chunks_in_flight=6), whole(histories))
    assert made == [*range(len(made))]
    assert len(made) >= 6
    assert bench.files() == []


def test_without_workers_the_trainer_makes_all_of_it_and_says_so(
    bench: Bench, histories: Histories, caplog: pytest.LogCaptureFixture
) -> None:
    assert same_bytes(bench.split(histories, nobody), whole(histories))
    assert "no worker took part: the trainer made all 14 blocks" in caplog.text


def test_without_a_broker_so_it_does(bench: Bench, histories: Histories, caplog: pytest.LogCaptureFixture) -> None:
    def refused(_training: UUID, _blocks: Sequence[int]) -> None:
        raise BrokerUnavailable("the broker is unavailable: it is a test")

    assert same_bytes(bench.split(histories, refused), whole(histories))
    assert caplog.text.count("the broker is down") == 1


def test_without_a_store_it_is_not_split(tmp_path: Path, histories: Histories) -> None:
    (tmp_path / "models").write_text("not a folder")
    assert same_bytes(Bench(str(tmp_path / "models"), tmp_path).split(histories, nobody), whole(histories))


def test_only_a_window_of_blocks_is_on_the_queue_at_once(bench: Bench, histories: Histories) -> None:
    handed_out: list[int] = []
    bench.split(histories, lambda _, blocks: handed_out.extend(blocks), chunks_in_flight=4)
    assert sorted(handed_out) == [0, 1, 2, 3]


def test_what_the_queue_loses_is_handed_out_again(
    bench: Bench, histories: Histories, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    handed_out: list[int] = []
    split = bench.split(
        histories, lambda _, blocks: handed_out.extend(blocks), chunks_in_flight=2, republish_seconds=1e-9
    )
    assert same_bytes(split, whole(histories))
    assert handed_out.count(0) > 1
    assert "seem lost and are handed out again" in caplog.text


def test_a_block_that_the_trainer_made_meanwhile_is_not_made_again(bench: Bench, histories: Histories) -> None:
    calls: list[UUID] = []
    worked: list[bool] = []

    def publish(training: UUID, _blocks: Sequence[int]) -> None:
        calls.append(training)
        if len(calls) == 3:
            worked.extend(worker.work(training, number) for number in worker.made(training))

    worker = bench.worker()
    bench.split(histories, publish, chunks_in_flight=14, republish_seconds=1e-9)
    assert worked == [False, False]


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY and no more", b"x" * 500], ids=["empty", "cut off", "other"])
def test_rows_that_are_damaged_are_made_again(bench: Bench, histories: Histories, damage: bytes) -> None:
    def publish(training: UUID, blocks: Sequence[int]) -> None:
        for number in blocks:
            bench.store.storage.write(f"blocks-{training}/rows-{number}", damage)

    assert same_bytes(bench.split(histories, publish), whole(histories))


class TestWorker:
    """A block of a training whose trainer is gone, or there."""

    @pytest.fixture
    def training(self, bench: Bench, histories: Histories) -> UUID:
        training = uuid4()
        bench.trainers.lay_out(training, Material(FAMILY.rows(histories), block_titles=3))
        return training

    def test_a_block_that_is_asked_for_twice_is_made_once(self, bench: Bench, training: UUID) -> None:
        assert [bench.worker().work(training, 5), bench.worker().work(training, 5)] == [True, False]
        assert bench.trainers.made(training) == {5}

    def test_two_who_make_the_same_block_write_the_same_file(self, bench: Bench, training: UUID) -> None:
        name = f"blocks-{training}/rows-5"
        contents = set()
        for host in ("one", "other"):
            bench.worker(host).work(training, 5)
            contents.add(bench.store.storage.read(name))
            bench.store.storage.delete(name)
        assert len(contents) == 1

    def test_a_training_that_is_over_needs_nothing_and_nothing_is_left_of_it(
        self, bench: Bench, training: UUID
    ) -> None:
        worker = bench.worker()
        worker.work(training, 5)
        bench.trainers.clear()
        assert not worker.work(training, 6)
        assert not bench.worker().work(training, 6)
        assert bench.files() == []

    def test_there_is_no_block_behind_the_last(self, bench: Bench, training: UUID) -> None:
        assert not bench.worker().work(training, 14)
        assert bench.trainers.made(training) == set()

    def test_a_host_keeps_a_copy_of_one_training_at_most(self, bench: Bench, histories: Histories) -> None:
        for _ in range(3):
            training = uuid4()
            bench.trainers.lay_out(training, Material(FAMILY.rows(histories), block_titles=3))
            assert bench.worker("host").work(training, 0)
            assert bench.worker("host").work(training, 1)
        copies = [path.name for path in (bench.folder / "host" / "blocks").glob("[!.]*")]
        assert copies == ([str(training)] if bench.location.startswith("s3:") else [])

    def test_what_is_mapped_cannot_be_told_from_what_was_laid_out(
        self, bench: Bench, training: UUID, histories: Histories
    ) -> None:
        opened = bench.worker()._opened(training)
        assert opened is not None
        rows = FAMILY.rows(histories)
        for name in ("starts", "titles", "strengths", "damping", "title_starts", "entries", "users"):
            np.testing.assert_array_equal(getattr(opened.rows.counts, name), getattr(rows.counts, name))
        assert same_bytes(opened.block(2, threads=1), rows.block(slice(6, 9), threads=1))

    def test_what_was_damaged_is_not_used_and_a_copy_is_fetched_anew(self, bench: Bench, training: UUID) -> None:
        assert bench.worker().work(training, 0)
        copied = bench.location.startswith("s3:")
        folder = (
            bench.folder / "host" / "blocks" / str(training) if copied else bench.folder / f"models/blocks-{training}"
        )
        file = folder / "strengths.npy"
        file.write_bytes(file.read_bytes()[:-1] + b"x")
        with pytest.raises(StorageUnavailable, match="is not what was written"):
            bench.worker().work(training, 1)
        if copied:
            assert bench.worker().work(training, 1)

    def test_a_name_of_a_model_version_it_is_not(self, bench: Bench, training: UUID) -> None:
        assert bench.store.versions() == []
