"""`python -m worker train`: a model much smaller than the current one is refused, until somebody insists."""

from __future__ import annotations

import os
import subprocess
import sys
from uuid import uuid4

from demo.process import PROJECT
from shared.model_store import ModelStore
from tests.platform import Platform


def train(platform: Platform, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "worker", "train", *words],
        cwd=PROJECT,
        env=os.environ | platform.environment(),
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
