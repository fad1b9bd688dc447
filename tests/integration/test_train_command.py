"""`python -m worker train`: into a folder or an object store; a much smaller model only with --force."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from demo.process import PROJECT
from shared.model_store import ModelStore
from tests.object_store import S3
from tests.platform import Platform


def train(platform: Platform, *words: str, **changes: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "worker", "train", *words],
        cwd=PROJECT,
        env=os.environ | platform.environment(**changes),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_much_smaller_model_is_refused_with_a_code_of_its_own_and_published_with_force(platform: Platform) -> None:
    store = ModelStore.at(str(platform.model_store), cache=platform.model_store)
    titles = [platform.title(f"Title {number}") for number in range(10)]
    platform.like([uuid4(), uuid4()], *titles)
    assert train(platform).returncode == 0
    good = store.current_version()

    platform.sql("engagement_db", "DELETE FROM interaction")
    platform.like([uuid4(), uuid4()], *titles[:3])
    refused = train(platform)
    assert refused.returncode == 3
    [reason] = [line for line in refused.stderr.splitlines() if line.startswith("worker: ")]
    assert "it has 3 titles, the current one has 10" in reason
    assert store.current_version() == good
    assert [refusal.description.interactions for refusal in store.refusals()] == [6]

    assert train(platform, "--force").returncode == 0
    assert store.current_version() != good
    assert store.manifest(store.current_version()).titles == 3


def test_what_one_host_trains_into_an_object_store_another_takes_from_there(
    platform: Platform, s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heat, ronin, user = platform.title("Heat"), platform.title("Ronin"), uuid4()
    platform.like([uuid4(), uuid4()], heat, ronin)
    platform.like(user, heat)
    url = s3.url(monkeypatch)
    trained = train(platform, model_store=url, model_cache=tmp_path / "of the trainer")
    assert trained.returncode == 0, trained.stderr
    gateway = platform.gateway(model_store=url, model_cache=tmp_path / "of the gateway")
    page = gateway.page(user)
    assert page["strategy"] == "collaborative"
    assert f"model {page['model_version']} is current: 2 titles" in trained.stdout
