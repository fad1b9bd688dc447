"""Models on disk: published whole or not at all, read only when they are what was published."""

from __future__ import annotations

import json
import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from scipy import sparse

from shared.errors import ModelRejected
from shared.ids import pack_ids
from shared.model import Model, ModelStore

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
NEIGHBOURS = np.array([[0, 2, 1], [2, 0, 0], [1, 0, 0]])


def publish(store: ModelStore, *, at: datetime = NOW, keep: int = 3, **changes: Any) -> Model:
    model = {
        "titles": pack_ids(UUID(int=i << 64) for i in range(3)),
        "popularity": np.array([3, 2, 1], dtype=np.float32),
        "neighbours": sparse.csr_array(NEIGHBOURS.astype(np.float32)),
        "estimator": "test",
        "parameters": {"k": 2},
        "users": 7,
        "interactions": 11,
    }
    return store.publish(**(model | changes), keep=keep, now=at)


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "a folder" / "models")


def test_before_the_first_one_there_is_none(store: ModelStore) -> None:
    assert store.current_version() is None
    assert store.versions() == []


def test_what_is_published_is_current_and_read_back_the_same(store: ModelStore) -> None:
    version = publish(store).version
    model = store.load(store.current_version())
    assert model.version == version
    assert (model.neighbours.toarray() == NEIGHBOURS).all()
    assert model.titles.find(pack_ids([UUID(int=2 << 64), UUID(int=5)])).tolist() == [2, -1]
    assert model.popular().weights.tolist() == [3, 2, 1]
    assert (model.manifest.users, model.manifest.interactions, model.manifest.neighbours) == (7, 11, 4)


def test_a_model_in_use_is_mapped_not_read(store: ModelStore) -> None:
    model = publish(store)
    maps = Path("/proc/self/maps")
    if not maps.exists():
        pytest.skip("this system does not show what is mapped")
    assert "weights.npy" in maps.read_text()
    with pytest.raises(ValueError, match="read-only"):
        model.neighbours.data[0] = 1


def test_nothing_in_a_version_is_pickled(store: ModelStore) -> None:
    publish(store)
    for path in store.directory.glob("*/*.npy"):
        np.load(path, allow_pickle=False)


def test_versions_are_kept_up_to_a_number_the_current_one_among_them(store: ModelStore) -> None:
    for minute in range(5):
        current = publish(store, at=NOW + timedelta(minutes=minute), keep=2).version
    assert len(store.versions()) == 2
    assert store.current_version() == current == store.versions()[-1]
    assert [p.name for p in store.directory.iterdir() if p.name.startswith(".")] == []


def test_what_a_killed_training_left_is_removed_a_day_later(store: ModelStore) -> None:
    publish(store)
    left, young = store.directory / ".writing-1-2", store.directory / ".writing-3-4"
    left.mkdir()
    young.mkdir()
    os.utime(left, (0, 0))
    publish(store, at=NOW + timedelta(minutes=1))
    assert not left.exists()
    assert young.exists()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"neighbours": sparse.csr_array((3, 3), dtype=np.float32)}, "no neighbours", id="empty"),
        pytest.param(
            {"neighbours": sparse.csr_array(np.array([[0, np.nan, 0]] * 3, dtype=np.float32))}, "number", id="NaN"
        ),
        pytest.param(
            {"neighbours": sparse.csr_array(np.array([[0, np.inf, 0]] * 3, dtype=np.float32))}, "number", id="infinite"
        ),
        pytest.param({"popularity": np.ones(2, dtype=np.float32)}, "lengths", id="popularity too short"),
        pytest.param({"titles": pack_ids(UUID(int=i) for i in (2, 1, 3))}, "sorted", id="titles out of order"),
        pytest.param({"titles": pack_ids(UUID(int=i) for i in (1, 1, 3))}, "distinct", id="a title twice"),
    ],
)
def test_a_model_that_makes_no_sense_is_refused_and_the_current_one_stays(
    store: ModelStore, changes: dict[str, Any], reason: str
) -> None:
    good = publish(store).version
    with pytest.raises(ModelRejected, match=reason):
        publish(store, at=NOW + timedelta(minutes=1), **changes)
    assert store.current_version() == good


@pytest.mark.parametrize("name", ["titles", "popularity", "starts", "columns", "weights"])
def test_a_file_that_was_altered_is_refused(store: ModelStore, name: str) -> None:
    version = publish(store).version
    path = store.directory / version / f"{name}.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(ModelRejected, match=f"{name}.npy is not what was published"):
        store.load(version)


@pytest.mark.parametrize("missing", ["titles.npy", "manifest.json"])
def test_a_file_that_is_missing_is_refused(store: ModelStore, missing: str) -> None:
    version = publish(store).version
    (store.directory / version / missing).unlink()
    with pytest.raises(ModelRejected, match="cannot be read"):
        store.load(version)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": 1}'])
def test_a_manifest_that_is_none_is_refused(store: ModelStore, content: str) -> None:
    version = publish(store).version
    (store.directory / version / "manifest.json").write_text(content)
    with pytest.raises(ModelRejected, match="cannot be read"):
        store.load(version)


@pytest.mark.parametrize("name", ["", "..", "../../etc", "/etc/passwd", "20240501T120000Z-00000000/../..", "x" * 500])
def test_a_version_is_a_name_and_never_a_path(store: ModelStore, name: str) -> None:
    publish(store)
    with pytest.raises(ModelRejected, match="not the name"):
        store.load(name)
    (store.directory / "CURRENT").write_text(name)
    with pytest.raises(ModelRejected, match="not the name"):
        store.current_version()


def test_the_manifest_says_what_a_version_is(store: ModelStore) -> None:
    version = publish(store).version
    manifest = json.loads((store.directory / version / "manifest.json").read_text())
    assert manifest["estimator"] == "test"
    assert manifest["created_at"].startswith("2024-05-01T12:00:00")
    assert sorted(manifest["checksums"]) == ["columns", "popularity", "starts", "titles", "weights"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_an_error_that_names_it(store: ModelStore) -> None:
    store.directory.mkdir(parents=True)
    store.directory.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(PermissionError, match="models"):
        publish(store)
