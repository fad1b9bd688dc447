"""Training from the database: what a refresh reads, who may train at once, what a search leaves behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import numpy as np
import pytest

from demo.process import PROJECT
from shared.errors import DatabaseUnavailable, NothingToTrainOn, TrainingBusy
from shared.model import ARRAYS, Model
from shared.model_store import ModelStore
from shared.parts import Databases
from tests.platform import NOON, Platform, wait_for
from worker.training.kept_rows import OVERLAP
from worker.training.train import Training

MANY = 5 * OVERLAP  # further apart than what is read again


def training(platform: Platform, **changes: object) -> Training:
    settings = platform.settings(**changes)
    databases = Databases.connect(settings, processes=1)
    models = ModelStore.at(settings.model_store, cache=settings.model_cache)
    return Training(databases.engagement, databases.jobs, models, settings)


def like(platform: Platform, row: int, user: UUID, title: UUID, kind: str = "LIKE") -> None:
    """An interaction with an id of our choice, later for a larger one."""
    platform.sql(
        "engagement_db",
        'INSERT INTO interaction (id, user_id, media_id, type, "timestamp") VALUES (%s, %s, %s, %s, %s)',
        row, str(user), str(title), kind, NOON + timedelta(seconds=row),
    )  # fmt: skip


def crowd(platform: Platform, first: int, users: list[UUID], titles: list[UUID]) -> None:
    """Every user likes every title, with ids from `first` on."""
    for place, (user, title) in enumerate((user, title) for user in users for title in titles):
        like(platform, first + place, user, title)


def arrays(model: Model) -> dict[str, bytes]:
    neighbours = model.neighbours
    found = (model.titles.ids, model.popularity, neighbours.indptr, neighbours.indices, neighbours.data)
    return dict(zip(ARRAYS, (np.asarray(array).tobytes() for array in found), strict=True))


@pytest.fixture
def titles(platform: Platform) -> list[UUID]:
    return [platform.title(f"Title {number}") for number in range(8)]


@pytest.fixture
def users() -> list[UUID]:
    return [uuid4() for _ in range(6)]


class TestRefresh:
    def test_it_yields_exactly_what_a_full_training_on_the_same_rows_does(
        self, platform: Platform, titles: list[UUID], users: list[UUID], tmp_path: Path
    ) -> None:
        crowd(platform, 1, users[:4], titles[:5])
        training(platform).full()
        crowd(platform, MANY, users[2:], titles[3:])  # new users, new titles, pairs that were there, later ones
        like(platform, 2 * MANY, users[0], titles[0], "DISLIKE")  # an opinion that changes
        refreshed = training(platform).refresh()
        whole = training(platform, model_store=str(tmp_path / "other")).full()
        assert arrays(refreshed) == arrays(whole)
        assert refreshed.manifest.watermark == whole.manifest.watermark == 2 * MANY
        assert refreshed.manifest.read_all_at < whole.manifest.read_all_at

    def test_it_reads_only_newer_rows_so_that_a_deletion_waits_for_the_full_run(
        self, platform: Platform, titles: list[UUID], users: list[UUID]
    ) -> None:
        crowd(platform, 1, users[:3], titles[:2])
        crowd(platform, MANY, users[:3], titles[2:5])
        training(platform).full()
        platform.sql("engagement_db", "DELETE FROM interaction WHERE id < 100")
        like(platform, MANY + 100, users[3], titles[4])
        assert training(platform).refresh().manifest.titles == 5
        assert training(platform).full().manifest.titles == 3

    def test_a_row_that_was_committed_late_with_a_smaller_id_is_read_all_the_same(
        self, platform: Platform, titles: list[UUID], users: list[UUID]
    ) -> None:
        crowd(platform, MANY, users[:3], titles[:2])
        training(platform).full()
        crowd(platform, MANY - 50, users[:3], titles[2:3])
        assert training(platform).refresh().manifest.titles == 3

    @pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 not quite", b"x" * 1000], ids=["empty", "cut off", "other"])
    def test_when_what_was_kept_cannot_be_read_everything_is_read_again(
        self, platform: Platform, titles: list[UUID], users: list[UUID], damage: bytes
    ) -> None:
        crowd(platform, 1, users[:3], titles[:3])
        first = training(platform).full()
        [kept] = Path(platform.settings().model_cache).glob("*/interactions.npz")
        kept.write_bytes(damage)
        assert training(platform).refresh().manifest.read_all_at > first.manifest.read_all_at

    def test_when_the_rows_that_were_read_are_gone_everything_is_read_again(
        self, platform: Platform, titles: list[UUID], users: list[UUID]
    ) -> None:
        crowd(platform, 1, users[:3], titles[:3])
        training(platform).full()
        platform.sql("engagement_db", "DELETE FROM interaction")
        crowd(platform, 1000, users[3:5], titles[:3])
        assert training(platform).refresh().manifest.users == 2

    def test_without_a_model_it_is_a_full_training(
        self, platform: Platform, titles: list[UUID], users: list[UUID]
    ) -> None:
        crowd(platform, 1, users[:3], titles[:3])
        assert training(platform).refresh().manifest.read_all_at is not None

    def test_what_was_kept_is_for_nobody_elses_eyes(
        self, platform: Platform, titles: list[UUID], users: list[UUID]
    ) -> None:
        crowd(platform, 1, users[:3], titles[:3])
        training(platform).full()
        [kept] = Path(platform.settings().model_cache).glob("*/interactions.npz")
        assert kept.parent.stat().st_mode & 0o077 == 0


class TestOneAtATime:
    def test_a_second_training_is_told_that_one_is_running_and_the_next_one_runs(
        self, platform: Platform, titles: list[UUID], users: list[UUID]
    ) -> None:
        crowd(platform, 1, users[:3], titles[:3])
        second = training(platform)
        with training(platform)._alone(), pytest.raises(TrainingBusy, match="another training is running"):
            second.full()
        assert second.full().manifest.titles == 3

    def test_a_trainer_that_is_killed_does_not_keep_others_from_training(
        self, platform: Platform, titles: list[UUID], users: list[UUID]
    ) -> None:
        crowd(platform, 1, users[:3], titles[:3])
        with platform.locked("engagement_db", "interaction"):  # it waits there, with the lock
            trainer = start(platform, database_bulk_seconds=60)
            wait_for(lambda: busy(platform))
            trainer.kill()
            trainer.wait(timeout=10)
        wait_for(lambda: not busy(platform))
        assert training(platform).full().manifest.titles == 3

    def test_without_jobs_db_nobody_trains_and_it_says_so(
        self, platform: Platform, titles: list[UUID], users: list[UUID]
    ) -> None:
        crowd(platform, 1, users[:3], titles[:3])
        with platform.down("jobs_db"), pytest.raises(DatabaseUnavailable, match="jobs_db"):
            training(platform).full()


class TestSchedule:
    def test_a_trainer_trains_at_once_and_takes_in_what_is_newer_in_time_and_stops_when_told(
        self, platform: Platform, titles: list[UUID], users: list[UUID]
    ) -> None:
        models = ModelStore.at(str(platform.model_store), cache=platform.model_store)
        crowd(platform, 1, users[:3], titles[:3])
        trainer = start(platform, "--schedule", training_refresh_seconds=1, training_full_seconds=3600)
        try:
            wait_for(models.current_version, seconds=30)
            crowd(platform, 1000, users[:3], titles[3:5])
            wait_for(lambda: models.manifest(models.current_version()).titles == 5, seconds=60)
            read_all_at = {models.manifest(version).read_all_at for version in models.versions()}
            assert len(read_all_at) == 1  # the newer ones are refreshes
        finally:
            trainer.send_signal(signal.SIGINT)
            assert trainer.wait(timeout=10) == 130


class TestSearch:
    def test_the_manifest_holds_what_was_tried_and_how_well_the_model_does(
        self, platform: Platform, titles: list[UUID]
    ) -> None:
        clusters(platform, titles)
        model = training(platform, training_budget_seconds=60).full()
        evidence = model.manifest.evidence
        assert evidence.split == "temporal"
        assert evidence.metric == "ndcg@20"
        assert evidence.accuracy.low <= evidence.accuracy.value <= evidence.accuracy.high
        assert max(trial.value for trial in evidence.trials) >= evidence.accuracy.value
        assert {"co-occurrence", "ease", "local-ridge"} <= {trial.estimator for trial in evidence.trials}

    def test_the_same_seed_and_rows_give_the_same_model(
        self, platform: Platform, titles: list[UUID], tmp_path: Path
    ) -> None:
        clusters(platform, titles)
        one, other = (
            training(platform, training_budget_seconds=60, model_store=str(tmp_path / name)).full() for name in "ab"
        )
        assert arrays(one) == arrays(other)
        assert one.manifest.parameters == other.manifest.parameters

    def test_a_budget_of_zero_trains_the_default_untried(
        self, platform: Platform, titles: list[UUID], users: list[UUID]
    ) -> None:
        crowd(platform, 1, users[:3], titles[:3])
        manifest = training(platform, training_budget_seconds=0, model_neighbours=7).full().manifest
        assert (manifest.estimator, manifest.evidence) == ("co-occurrence", None)
        assert manifest.parameters == {"a": 0.4, "b": 0.5, "c": 0.2, "w": 0.2, "k": 7, "r": 0.75}

    def test_where_no_times_are_known_neither_order_nor_recency_counts(
        self, platform: Platform, titles: list[UUID], users: list[UUID]
    ) -> None:
        for user in users:
            for title in titles:
                platform.interact(user, title, "LIKE", at=None)
        manifest = training(platform).full().manifest
        assert (manifest.parameters["w"], manifest.recency) == (1, 0)

    def test_too_few_interactions_to_search_on_train_the_default(
        self, platform: Platform, titles: list[UUID], users: list[UUID]
    ) -> None:
        crowd(platform, 1, users[:3], titles[:3])
        manifest = training(platform, training_budget_seconds=60).full().manifest
        assert manifest.evidence is None

    def test_nothing_to_train_on_is_an_error_that_says_so(self, platform: Platform, titles: list[UUID]) -> None:
        with pytest.raises(NothingToTrainOn, match="no likes or watches"):
            training(platform).full()


def clusters(platform: Platform, titles: list[UUID]) -> None:
    """Forty users, each of one of two tastes, who like that taste's titles in a row and one of the other."""
    row = 1
    for number in range(40):
        user, half = uuid4(), (titles[:4], titles[4:])
        for title in (*half[number % 2], half[1 - number % 2][number % 4]):
            like(platform, row, user, title)
            row += 1


def start(platform: Platform, *words: str, **changes: object) -> subprocess.Popen[bytes]:
    """`python -m worker train`, running."""
    return subprocess.Popen(
        [sys.executable, "-m", "worker", "train", *words], cwd=PROJECT, env=os.environ | platform.environment(**changes)
    )


def busy(platform: Platform) -> bool:
    """Whether somebody holds the lock of trainings."""
    [(locks,)] = platform.sql("jobs_db", "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted")
    return bool(locks)
