"""What changes in the databases and in the model store is noticed; what is broken there changes nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from demo.servers import Postgres, Valkey
from shared.model_store import ModelStore
from tests.models import NOW, publish_small
from tests.object_store import S3
from tests.platform import Platform, wait_for


def test_a_new_title_is_recommended_without_training_or_a_restart(platform: Platform) -> None:
    platform.title("Old", "Drama")
    user = platform.user("Drama")
    gateway = platform.gateway(catalogue_refresh_seconds=0.2)
    assert gateway.titles(user) == ["Old"]
    platform.title("New", "Drama")
    wait_for(lambda: set(gateway.titles(user)) == {"Old", "New"})


def test_the_first_model_is_noticed_by_a_gateway_that_runs(platform: Platform) -> None:
    heat, ronin, user = platform.title("Heat"), platform.title("Ronin"), uuid4()
    platform.like([uuid4(), uuid4()], heat, ronin)
    platform.like(user, heat)
    gateway = platform.gateway()
    assert gateway.page(user)["strategy"] == "popular"
    version = platform.train().version
    wait_for(lambda: gateway.page(user)["model_version"] == version)
    assert gateway.page(user)["strategy"] == "collaborative"


def test_a_model_that_cannot_be_used_is_said_once_and_the_one_before_stays(
    platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    heat, ronin, user = platform.title("Heat"), platform.title("Ronin"), uuid4()
    platform.like([uuid4(), uuid4()], heat, ronin)
    platform.like(user, heat)
    good = platform.train().version
    gateway = platform.gateway(model_check_seconds=60)
    broken = "20990101T000000Z-00000000"
    (platform.model_store / broken).mkdir()
    (platform.model_store / "CURRENT").write_text(broken)
    with caplog.at_level(logging.ERROR, logger="shared.refresher"):
        for _ in range(5):
            gateway.refresh()
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    assert broken in errors[0]
    assert gateway.page(user)["model_version"] == good

    (platform.model_store / "CURRENT").write_text(good)  # the way back is one step
    gateway.refresh()
    assert gateway.page(user)["model_version"] == good


def test_a_rollback_is_noticed_like_any_new_version(platform: Platform) -> None:
    platform.title("Heat")
    store = ModelStore.at(str(platform.model_store), cache=platform.model_store)
    first, second = (publish_small(store, at=NOW + timedelta(minutes=minute)).version for minute in range(2))
    gateway, user = platform.gateway(), uuid4()
    for version in (second, first, second):
        store.make_current(version)
        wait_for(lambda: gateway.page(user)["model_version"] == version, seconds=5)  # noqa: B023 - called at once


def test_versions_that_are_pruned_while_they_are_loaded_never_leave_a_gateway_without_one(platform: Platform) -> None:
    platform.title("Heat")
    store = ModelStore.at(str(platform.model_store), cache=platform.model_store)
    publish_small(store)
    gateway, user = platform.gateway(model_check_seconds=0.001), uuid4()
    for minute in range(1, 40):
        last = publish_small(store, at=NOW + timedelta(minutes=minute), keep=1).version
        assert gateway.page(user)["model_version"] is not None
    wait_for(lambda: gateway.page(user)["model_version"] == last, seconds=5)


@pytest.fixture
def mortal_s3() -> Iterator[S3]:
    """A server that may be stopped."""
    server = S3()
    yield server
    server.stop()


def test_a_model_is_taken_from_an_object_store_and_kept_when_that_goes_down(
    platform: Platform, tmp_path: Path, mortal_s3: S3, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    platform.title("Heat")
    url, user = mortal_s3.url(monkeypatch), uuid4()
    gateway = platform.gateway(model_store=url, model_cache=tmp_path / "of the gateway")
    assert gateway.page(user)["model_version"] is None
    version = publish_small(ModelStore.at(url, cache=tmp_path / "of the trainer")).version
    wait_for(lambda: gateway.page(user)["model_version"] == version, seconds=5)

    mortal_s3.stop()
    with caplog.at_level(logging.WARNING, logger="shared.availability"):
        wait_for(lambda: "the model store is down, going on without it" in caplog.text, seconds=30)
    platform.title("Ronin")
    gateway.refresh()
    assert set(gateway.titles(user)) == {"Heat", "Ronin"}
    assert gateway.page(user)["model_version"] == version
    assert len([line for line in caplog.text.splitlines() if "the model store" in line]) == 1


def test_a_gateway_that_starts_before_its_databases_answers_503_and_then_200(tmp_path: Path, valkey: Valkey) -> None:
    with Postgres(tmp_path / "postgres", durable=False) as postgres:
        platform = Platform(postgres, valkey, tmp_path / "models", redis_db=4)
        platform.empty()
        platform.title("Heat")
        postgres.stop()
        gateway = platform.gateway()
        address = f"/api/recommendations/{uuid4()}"
        answer = gateway.client.get(address)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        postgres.start()
        wait_for(lambda: gateway.client.get(address).status_code == 200, seconds=10)
        platform.close()
