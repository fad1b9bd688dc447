"""A folder, a folder's URL, an object store in memory and one on a server keep files alike."""

from __future__ import annotations

import os
import socket
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from shared.errors import ConfigurationError, StorageUnavailable
from shared.storage import UNFINISHED, Folder, ObjectStore, Storage, open_storage
from tests.object_store import S3

KINDS = ("folder", "file", "memory", "s3")


@pytest.fixture(params=KINDS)
def location(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty place of each kind."""
    match request.param:
        case "folder":
            return str(tmp_path / "a folder" / "models")
        case "file":
            return (tmp_path / "a folder" / "models").as_uri()
        case "memory":
            return f"memory://{uuid4().hex}/models/"
    server: S3 = request.getfixturevalue("s3")
    return server.url(monkeypatch)


@pytest.fixture
def storage(location: str) -> Storage:
    return open_storage(location)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of this host."""
    path = tmp_path / "made here"
    path.write_bytes(b"as it was")
    return path


def test_what_was_written_is_read_by_everybody(storage: Storage, location: str) -> None:
    storage.write("CURRENT", b"one")
    assert storage.read("CURRENT") == open_storage(location).read("CURRENT") == b"one"


def test_what_is_written_again_is_replaced_and_seen_at_once(storage: Storage, location: str) -> None:
    reader = open_storage(location)
    for content in (b"one", b"", b"another"):
        storage.write("CURRENT", content)
        assert reader.read("CURRENT") == content


def test_a_file_that_was_put_is_fetched_as_it_was(storage: Storage, file: Path, tmp_path: Path) -> None:
    storage.put("version/titles.npy", file)
    storage.fetch("version/titles.npy", tmp_path / "fetched")
    assert (tmp_path / "fetched").read_bytes() == storage.read("version/titles.npy") == b"as it was"


def test_every_name_is_listed_in_order_and_new_ones_at_once(storage: Storage, location: str, file: Path) -> None:
    reader = open_storage(location)
    assert reader.names() == []
    storage.write("b/two", b"")
    storage.write("CURRENT", b"")
    assert reader.names() == ["CURRENT", "b/two"]
    storage.put("b/one", file)
    assert reader.names() == ["CURRENT", "b/one", "b/two"]


def test_what_was_deleted_is_gone_and_nothing_else_is(storage: Storage) -> None:
    for name in ("a/one", "a/two", "CURRENT"):
        storage.write(name, b"x")
    storage.delete("a/one")
    assert storage.names() == ["CURRENT", "a/two"]
    storage.delete("a/two")
    assert storage.names() == ["CURRENT"]
    with pytest.raises(FileNotFoundError):
        storage.read("a/two")


def test_what_is_not_there_is_not_found_and_need_not_be_deleted(storage: Storage, tmp_path: Path) -> None:
    for name in ("CURRENT", "version/titles.npy"):
        with pytest.raises(FileNotFoundError):
            storage.read(name)
        with pytest.raises(FileNotFoundError):
            storage.fetch(name, tmp_path / "fetched")
        storage.delete(name)
    assert storage.names() == []


def test_a_reader_never_sees_half_a_file(storage: Storage, location: str) -> None:
    """Many are written while it reads."""
    contents = [bytes([letter]) * 100_000 for letter in b"ab"]
    storage.write("CURRENT", contents[0])
    done = threading.Event()

    def write() -> None:
        for turn in range(30):
            storage.write("CURRENT", contents[turn % 2])
        done.set()

    reader, writer = open_storage(location), threading.Thread(target=write)
    writer.start()
    while not done.is_set():
        assert reader.read("CURRENT") in contents
    writer.join()


# What is particular to each.


def test_a_url_of_a_file_is_that_folder_so_that_it_is_mapped_where_it_lies(tmp_path: Path) -> None:
    storage = open_storage((tmp_path / "a folder").as_uri())
    assert isinstance(storage, Folder)
    assert storage.path == tmp_path / "a folder"


def test_in_a_folder_nothing_unfinished_is_left_or_listed(tmp_path: Path) -> None:
    storage = Folder(tmp_path)
    with pytest.raises(StorageUnavailable):
        storage.put("version/titles.npy", tmp_path / "there is no such file")
    (tmp_path / f"{UNFINISHED}1").write_text("a training is at it")
    assert storage.names() == []
    assert [path.name for path in tmp_path.glob(f"{UNFINISHED}*")] == [f"{UNFINISHED}1"]


def test_a_folder_that_cannot_be_written_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("this is no folder")  # not even root can write below it
    with pytest.raises(StorageUnavailable, match="models cannot be used"):
        Folder(tmp_path / "models").write("CURRENT", b"")
    folder = tmp_path / "ours"
    folder.mkdir(mode=stat.S_IRUSR | stat.S_IXUSR)
    if not is_writable(folder):
        with pytest.raises(StorageUnavailable, match="ours cannot be used"):
            Folder(folder).write("CURRENT", b"")


def is_writable(folder: Path) -> bool:
    try:
        (folder / "tried").touch()
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        pytest.param("gs://bucket/models", "install gcsfs", id="a driver that is not installed"),
        pytest.param("abfs://box@account/models", "Install adlfs", id="another"),
        pytest.param("s4://bucket/models", "Protocol not known: s4", id="a slip"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_at_start_and_says_what_to_install(url: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"MODEL_STORE: {url}.*{reason}"):
        open_storage(url)


def test_a_url_with_a_password_is_refused_without_showing_it() -> None:
    with pytest.raises(ConfigurationError, match=r"MODEL_STORE: .*credentials") as refusal:
        open_storage("s3://key:hunter2@bucket/models")
    assert "hunter2" not in str(refusal.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_among_the_models_that_may_not_be_read_is_passed_over(tmp_path: Path) -> None:
    storage = Folder(tmp_path)
    storage.write("CURRENT", b"")
    (tmp_path / "lost+found").mkdir(mode=0)
    assert storage.names() == ["CURRENT"]


def test_a_bucket_that_is_not_there_is_an_error_for_who_writes(
    s3: S3, monkeypatch: pytest.MonkeyPatch, file: Path
) -> None:
    s3.url(monkeypatch)
    storage = open_storage("s3://no-such-bucket/models")
    with pytest.raises(StorageUnavailable, match=r"s3://no-such-bucket/models cannot be used: .*bucket"):
        storage.write("CURRENT", b"")
    with pytest.raises(StorageUnavailable, match="bucket"):
        storage.put("CURRENT", file)
    with pytest.raises(FileNotFoundError):
        storage.read("CURRENT")


@pytest.fixture
def silent_server() -> Iterator[str]:
    """Takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_an_object_store_that_says_nothing_is_unavailable_when_its_time_is_over(
    silent_server: str, monkeypatch: pytest.MonkeyPatch, file: Path, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "tests")
    monkeypatch.setenv("AWS_ENDPOINT_URL", silent_server)
    storage = ObjectStore("s3://bucket/models", answer_seconds=0.5, transfer_seconds=0.5)
    for ask in (
        lambda: storage.read("CURRENT"),
        lambda: storage.write("CURRENT", b""),
        lambda: storage.put("CURRENT", file),
        lambda: storage.fetch("CURRENT", tmp_path / "fetched"),
        storage.names,
        lambda: storage.delete("CURRENT"),
    ):
        started = time.monotonic()
        with pytest.raises(StorageUnavailable, match=r"s3://bucket/models cannot be used: .*Timeout"):
            ask()
        assert time.monotonic() - started < 5
