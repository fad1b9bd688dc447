"""A model is published whole or not at all, and never in place of a much better one."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest
from scipy import sparse

from shared.errors import ModelRejected
from shared.ids import pack_ids
from shared.model_store import ModelStore
from tests.models import DESCRIPTION, NOW, described, publish_ring, publish_small

DAY = timedelta(days=1)


@pytest.fixture(params=["folder", "object store"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ModelStore:
    location = str(tmp_path / "models") if request.param == "folder" else f"memory://{uuid4().hex}"
    return ModelStore.at(location, cache=tmp_path / "copies")


def later(minutes: int) -> Any:
    return NOW + timedelta(minutes=minutes)


def test_versions_are_kept_up_to_a_number_and_the_current_one_whatever_its_age(store: ModelStore) -> None:
    versions = [publish_small(store, at=later(minute), keep=2).version for minute in range(5)]
    assert store.versions() == versions[-2:]
    store.make_current(versions[-2])
    store.prune(1, later(9))
    assert store.versions() == versions[-2:]
    assert store.load(store.current_version()).version == versions[-2]


def test_what_was_pruned_leaves_nothing(store: ModelStore) -> None:
    for minute in range(5):
        publish_small(store, at=later(minute), keep=1)
    [version] = store.versions()
    assert {name.partition("/")[0] for name in store.storage.names()} == {"CURRENT", version}


def test_what_a_killed_training_left_is_removed_a_day_later(store: ModelStore, tmp_path: Path) -> None:
    publish_small(store)
    left, young = "20240430T120000Z-00000000", "20240501T115900Z-00000000"
    for version in (left, young):
        store.storage.write(f"{version}/titles.npy", b"half a model")
    publish_small(store, at=NOW + timedelta(minutes=1))
    there = {name.partition("/")[0] for name in store.storage.names()}
    assert left not in there
    assert young in there


def test_what_a_killed_training_left_on_its_host_is_removed_a_day_later(store: ModelStore, tmp_path: Path) -> None:
    publish_small(store)
    [here] = [path.parent for path in tmp_path.rglob(".publishing")]
    for name, age in (("old folder", DAY * 2), ("old file", DAY * 2), ("young folder", DAY / 2)):
        path = here / f".writing-{name}"
        path.mkdir() if "folder" in name else path.touch()
        os.utime(path, ((NOW - age).timestamp(),) * 2)
    publish_small(store, at=later(1))
    assert [path.name for path in here.glob(".writing-*")] == [".writing-young folder"]


def test_the_same_model_published_twice_in_one_second_is_one_version(store: ModelStore) -> None:
    assert publish_small(store).version == publish_small(store).version == store.current_version()
    assert len(store.versions()) == 1


SENSELESS = [
    pytest.param({"neighbours": sparse.csr_array((3, 3), dtype=np.float32)}, "no neighbours", id="empty"),
    pytest.param(
        {
            "titles": pack_ids([]),
            "popularity": np.empty(0, dtype=np.float32),
            "neighbours": sparse.csr_array((0, 0), dtype=np.float32),
        },
        "no titles",
        id="no titles",
    ),
    pytest.param(
        {"neighbours": sparse.csr_array(np.array([[0, np.nan, 0]] * 3, dtype=np.float32))}, "number", id="NaN"
    ),
    pytest.param(
        {"neighbours": sparse.csr_array(np.array([[0, np.inf, 0]] * 3, dtype=np.float32))}, "number", id="infinite"
    ),
    pytest.param({"popularity": np.array([1, np.nan, 1], dtype=np.float32)}, "popularity", id="popularity is NaN"),
    pytest.param({"popularity": np.ones(2, dtype=np.float32)}, "lengths", id="popularity too short"),
    pytest.param({"titles": pack_ids(UUID(int=i) for i in (2, 1, 3))}, "sorted", id="titles out of order"),
    pytest.param({"titles": pack_ids(UUID(int=i) for i in (1, 1, 3))}, "distinct", id="a title twice"),
]


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize(("changes", "reason"), SENSELESS)
def test_a_model_that_makes_no_sense_is_refused_even_with_force_and_the_current_one_stays(
    store: ModelStore, changes: dict[str, Any], reason: str, force: bool
) -> None:
    good = publish_small(store).version
    with pytest.raises(ModelRejected, match=reason):
        publish_small(store, at=later(1), force=force, **changes)
    assert_only(store, good)


MUCH_LESS = [
    pytest.param(
        {"titles": range(49)}, r"it has 49 titles, the current one has 100, MODEL_LEAST_SHARE is 0\.5", id="titles"
    ),
    pytest.param(
        {"titles": range(51, 151)}, "it has 49 of the current one's 100 titles", id="other titles, just as many"
    ),
    pytest.param(
        {"titles": range(100), "reach": 49},
        "49 of its titles are ever recommended, of the current one's 100",
        id="few titles recommended again and again",
    ),
    pytest.param(
        {"titles": range(100), "description": described(0.09)},
        r"its ndcg@10 \(last like\) is 0\.09, the current one's 0\.2",
        id="accuracy",
    ),
]
ABOUT_AS_MUCH = [
    pytest.param({"titles": range(50)}, id="half the titles"),
    pytest.param({"titles": range(50, 150)}, id="half of them are new"),
    pytest.param({"titles": range(100), "reach": 50}, id="half the reach"),
    pytest.param({"titles": range(100), "description": described(0.1)}, id="half the accuracy"),
    pytest.param({"titles": range(100), "description": described(0.01, metric="recall@10")}, id="another metric"),
    pytest.param({"titles": range(100), "description": described(0.01, split="random")}, id="another split"),
    pytest.param({"titles": range(100), "description": DESCRIPTION}, id="nothing known of its accuracy"),
]


@pytest.fixture
def current(store: ModelStore) -> str:
    """A version with a hundred titles, each recommended by another."""
    return publish_ring(store, range(100), at=NOW, description=described(0.2)).version


@pytest.mark.parametrize(("changes", "reason"), MUCH_LESS)
def test_a_model_that_is_much_less_than_the_current_one_is_refused_and_says_how_to_mend(
    store: ModelStore, current: str, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ModelRejected, match=rf"{reason}.*find the cause, or .*`python -m worker train --force`"):
        publish_ring(store, **changes, at=later(1), least_share=0.5)
    assert_only(store, current)


@pytest.mark.parametrize("changes", ABOUT_AS_MUCH)
def test_a_model_that_is_about_as_much_is_published(store: ModelStore, current: str, changes: dict[str, Any]) -> None:
    version = publish_ring(store, **changes, at=later(1), least_share=0.5).version
    assert store.current_version() == version != current


@pytest.mark.parametrize("asked", [{"least_share": 0.5, "force": True}, {"least_share": 0.0}], ids=["force", "share 0"])
@pytest.mark.parametrize(("changes", "reason"), MUCH_LESS)
def test_with_force_or_with_no_share_asked_for_it_is_published_all_the_same(
    store: ModelStore, current: str, changes: dict[str, Any], reason: str, asked: dict[str, Any]
) -> None:
    version = publish_ring(store, **changes, at=later(1), **asked).version
    assert store.current_version() == version != current


def test_a_refusal_is_remembered_with_what_training_said(store: ModelStore, current: str) -> None:
    with pytest.raises(ModelRejected) as refused:
        publish_ring(store, range(3), at=later(1), least_share=0.5, description=described(0.3))
    [refusal] = store.refusals()
    assert (refusal.at, refusal.reason, refusal.description) == (later(1), str(refused.value), described(0.3))


def test_the_newest_twenty_refusals_are_kept(store: ModelStore, current: str) -> None:
    for minute in range(1, 23):
        with pytest.raises(ModelRejected):
            publish_ring(store, range(3), at=later(minute), least_share=0.5)
    assert [refusal.at for refusal in store.refusals()] == [later(minute) for minute in range(3, 23)]


def test_a_current_model_that_cannot_be_read_is_no_reason_to_refuse_another(store: ModelStore, current: str) -> None:
    store.storage.delete(f"{current}/manifest.json")
    version = publish_ring(store, range(3), at=later(1), least_share=0.5).version
    assert store.current_version() == version


def assert_only(store: ModelStore, version: str) -> None:
    """It is current and loads, and nothing is left of another."""
    assert store.current_version() == store.load(version).version == version
    assert store.versions() == [version]
    there = {name.partition("/")[0] for name in store.storage.names()}
    assert there == {"CURRENT", "refused", version}
