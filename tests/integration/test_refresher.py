"""What changes in the databases and in the model's folder is noticed; what is broken there changes nothing."""

from __future__ import annotations

import logging
from pathlib import Path
from uuid import uuid4

import pytest

from demo.servers import Postgres, Valkey
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
