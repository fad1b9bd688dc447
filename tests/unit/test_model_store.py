"""The store of versions is the same in a folder and in an object store."""

from __future__ import annotations

import os
import threading
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from shared.errors import ModelRejected, StorageUnavailable
from shared.model_store import ModelStore
from tests.models import NEIGHBOURS, NOW, publish_small


@pytest.fixture(params=["folder", "object store"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "a folder" / "models") if request.param == "folder" else f"memory://{uuid4().hex}"


@pytest.fixture
def store(location: str, tmp_path: Path) -> ModelStore:
    return ModelStore.at(location, cache=tmp_path / "copies")


@pytest.fixture
def elsewhere(location: str, tmp_path: Path) -> ModelStore:
    """The same store as another host sees it."""
    return ModelStore.at(location, cache=tmp_path / "copies of another host")


def test_before_the_first_one_there_is_none(store: ModelStore) -> None:
    assert store.current_version() is None
    assert store.versions() == []
    assert store.refusals() == []


def test_what_is_published_is_current_and_loaded_everywhere(store: ModelStore, elsewhere: ModelStore) -> None:
    published = publish_small(store)
    for reader in (store, elsewhere):
        assert reader.current_version() == published.version
        assert reader.versions() == [published.version]
        model = reader.load(published.version)
        assert model.manifest == reader.manifest(published.version) == published.manifest
        assert (model.neighbours.toarray() == NEIGHBOURS).all()


def test_another_version_can_be_made_current(store: ModelStore, elsewhere: ModelStore) -> None:
    first, second = publish_small(store).version, publish_small(store, at=NOW + timedelta(minutes=1)).version
    assert elsewhere.current_version() == second
    store.make_current(first)
    assert elsewhere.current_version() == first
    assert elsewhere.versions() == [first, second]


def test_a_version_without_its_manifest_does_not_exist(store: ModelStore) -> None:
    version = publish_small(store).version
    store.storage.delete(f"{version}/manifest.json")
    assert store.versions() == []
    with pytest.raises(ModelRejected, match=f"model {version} cannot be read"):
        store.load(version)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": 1}'])
def test_a_manifest_that_is_none_is_refused(store: ModelStore, content: str) -> None:
    version = publish_small(store).version
    store.storage.write(f"{version}/manifest.json", content.encode())
    with pytest.raises(ModelRejected, match="cannot be read"):
        store.load(version)


@pytest.mark.parametrize("how", ["altered", "missing"])
def test_an_array_that_is_not_what_was_published_is_refused(store: ModelStore, elsewhere: ModelStore, how: str) -> None:
    version = publish_small(store).version
    name = f"{version}/weights.npy"
    if how == "altered":
        store.storage.write(name, store.storage.read(name)[:-1] + b"\x7f")
    else:
        store.storage.delete(name)
    with pytest.raises(ModelRejected, match=version):
        elsewhere.load(version)


@pytest.mark.parametrize("name", ["", "..", "../../etc", "/etc/passwd", "20240501T120000Z-00000000/../..", "x" * 500])
def test_a_version_is_a_name_and_never_a_path(store: ModelStore, name: str) -> None:
    publish_small(store)
    with pytest.raises(ModelRejected, match="not the name"):
        store.load(name)
    with pytest.raises(ModelRejected, match="not the name"):
        store.make_current(name)
    store.storage.write("CURRENT", name.encode())
    with pytest.raises(ModelRejected, match="not the name"):
        store.current_version()


def test_whoever_publishes_or_rolls_back_does_so_alone(
    store: ModelStore, location: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.model_store._PATIENCE_SECONDS", 0.2)
    with (
        store.exclusive(),
        pytest.raises(StorageUnavailable, match=r"another process has held .*publishing for 0\.2 s"),
        ModelStore.at(location, cache=tmp_path / "copies").exclusive(),
    ):
        pass
    with store.exclusive():
        pass


# Copies of an object store's versions.


@pytest.fixture
def remote(tmp_path: Path) -> tuple[ModelStore, Path]:
    """A store of objects, and the folder on this host with its copies."""
    cache = tmp_path / "copies"
    store = ModelStore.at(f"memory://{uuid4().hex}", cache=cache)
    publish_small(store)
    [copies] = cache.iterdir()
    return store, copies


def test_a_version_is_fetched_once_and_then_read_from_the_copy(remote: tuple[ModelStore, Path]) -> None:
    store, copies = remote
    version = store.versions()[0]
    for name in ("titles", "weights"):
        store.storage.delete(f"{version}/{name}.npy")
    assert store.load(version).version == version
    assert sorted(path.name for path in copies.iterdir() if path.is_dir()) == [version]


def test_a_copy_that_was_damaged_is_fetched_again(remote: tuple[ModelStore, Path]) -> None:
    store, copies = remote
    version = store.versions()[0]
    path = copies / version / "weights.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
    assert store.load(version).version == version
    path.unlink()
    assert store.load(version).version == version


def test_processes_that_start_together_fetch_a_version_once(
    remote: tuple[ModelStore, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, _ = remote
    version = store.versions()[0]
    fetched: list[str] = []
    fetch = type(store.storage).fetch
    monkeypatch.setattr(
        type(store.storage), "fetch", lambda self, name, target: (fetched.append(name), fetch(self, name, target))
    )
    location = f"memory://{uuid4().hex}"
    version = publish_small(ModelStore.at(location, cache=tmp_path / "of the trainer")).version
    fetched.clear()
    readers = [
        threading.Thread(target=ModelStore.at(location, cache=tmp_path / "host").load, args=(version,))
        for _ in range(5)
    ]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(timeout=30)
    assert len(fetched) == len(set(fetched)) == 5


def test_two_copies_are_kept_and_what_a_killed_process_left_is_removed(remote: tuple[ModelStore, Path]) -> None:
    store, copies = remote
    (copies / ".fetching-1").mkdir()
    versions = [store.current_version()]
    os.utime(copies / versions[0], (0, 0))
    for minute in range(1, 4):
        versions.append(publish_small(store, at=NOW + timedelta(minutes=minute), keep=9).version)
        os.utime(copies / versions[-1], (minute, minute))
    assert sorted(path.name for path in copies.iterdir() if path.is_dir()) == versions[-2:]
    store.load(versions[0])
    assert sorted(path.name for path in copies.iterdir() if path.is_dir()) == [versions[0], versions[-1]]


def test_copies_are_closed_to_other_users_and_never_taken_from_one(
    remote: tuple[ModelStore, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, copies = remote
    assert copies.stat().st_mode & 0o077 == 0
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(StorageUnavailable, match="belongs to another user: set MODEL_CACHE"):
        publish_small(store, at=NOW + timedelta(minutes=1))


def test_stores_share_a_cache_without_mixing_their_versions(tmp_path: Path) -> None:
    stores = [ModelStore.at(f"memory://{uuid4().hex}", cache=tmp_path) for _ in range(2)]
    versions = [publish_small(store).version for store in stores]
    assert versions[0] == versions[1]
    assert len(list(tmp_path.iterdir())) == 2
