"""Files of models that somebody else has put in the store: refused, whatever they hold, and the model in use stays."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import numpy as np
import pytest

from demo.process import PROJECT
from shared.errors import ModelRejected, NoSuchModel, StorageUnavailable
from shared.model import ARRAYS, checksum
from shared.model_copies import make_closed
from shared.model_store import ModelStore
from shared.parts import Parts
from tests.models import NOW, publish_small
from tests.platform import Platform
from tests.security.conftest import Told
from worker.commands.rollback import roll_back

WALL = "model files"

Spoil = Callable[[Path], object]


class Planted:
    """Whoever unpickles this makes a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.file),)


def proof(folder: Path) -> Path:
    """What is there once something planted has run."""
    return folder.parent / "proof"


@pytest.fixture
def parts(platform: Platform) -> Parts:
    """The service's, with a model in use."""
    publish_small(ModelStore.at(str(platform.model_store), cache=platform.model_store / "unused"))
    parts = platform.parts(model_check_seconds=60)
    assert parts.refresher.current().model is not None
    return parts


def tell(folder: Path, **changes: Any) -> None:
    """Change a manifest, and have it tell of the files as they are now."""
    file = folder / "manifest.json"
    told = json.loads(file.read_text())
    sums = {name: checksum(folder / f"{name}.npy") for name in ARRAYS if (folder / f"{name}.npy").is_file()}
    file.write_text(json.dumps(told | {"checksums": sums} | changes))


def array(name: str, content: Any, **how: Any) -> Spoil:
    """Another array in a file's place."""

    def spoil(folder: Path) -> None:
        np.save(folder / f"{name}.npy", content, **how)
        tell(folder)

    return spoil


def raw(name: str, change: Callable[[bytes], bytes], *, told: bool) -> Spoil:
    """Other bytes in a file. told: the manifest knows."""

    def spoil(folder: Path) -> None:
        file = folder / f"{name}.npy"
        file.write_bytes(change(file.read_bytes()))
        if told:
            tell(folder)

    return spoil


def manifest(change: Callable[[str], str]) -> Spoil:
    def spoil(folder: Path) -> None:
        file = folder / "manifest.json"
        file.write_text(change(file.read_text()))

    return spoil


def pickled(folder: Path) -> None:
    np.save(folder / "weights.npy", np.array([Planted(proof(folder))] * 4, dtype=object), allow_pickle=True)
    tell(folder)


def nothing_but_a_pickle(folder: Path) -> None:
    (folder / "weights.npy").write_bytes(pickle.dumps(Planted(proof(folder))))
    tell(folder)


def archive(folder: Path) -> None:
    content = (folder / "titles.npy").read_bytes()
    with zipfile.ZipFile(folder / "titles.npy", "w") as file:
        file.writestr("titles.npy", content)
    tell(folder)


def swapped(folder: Path) -> None:
    one, other = folder / "popularity.npy", folder / "weights.npy"
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


def swapped_and_told(folder: Path) -> None:
    swapped(folder)
    tell(folder)


def a_link(folder: Path) -> None:
    shutil.move(folder / "titles.npy", folder.parent / "titles.npy")
    (folder / "titles.npy").symlink_to("../titles.npy")


def a_pipe(folder: Path) -> None:
    (folder / "titles.npy").unlink()
    os.mkfifo(folder / "titles.npy")


def another_place(version: str) -> Spoil:
    """The manifest names another version, whose files are there."""

    def spoil(folder: Path) -> None:
        elsewhere = folder.parent.parent / "elsewhere"
        shutil.copytree(folder, elsewhere, dirs_exist_ok=True)
        tell(folder, version=version.replace("ROOT", str(folder.parent.parent)))

    return spoil


def huge_header(shape: str) -> Callable[[bytes], bytes]:
    """An array that announces more than it has."""

    def change(_content: bytes) -> bytes:
        header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"
        padded = header.ljust(117) + "\n"
        return b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded.encode() + bytes(64)

    return change


def flip(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


REFUSED: dict[str, Spoil] = {
    "an array of pickled objects": pickled,
    "a pickle for an array": nothing_but_a_pickle,
    "an archive for an array": archive,
    "a bit flipped": raw("weights", flip, told=False),
    "a byte less": raw("weights", lambda content: content[:-1], told=False),
    "a byte less, and the manifest knows": raw("weights", lambda content: content[:-1], told=True),
    "a byte more": raw("weights", lambda content: content + b"\0", told=False),
    "no bytes at all, and the manifest knows": raw("weights", lambda content: b"", told=True),
    "no array, and the manifest knows": raw("weights", lambda content: b"x" * 500, told=True),
    "arrays swapped": swapped,
    "arrays swapped, and the manifest knows": swapped_and_told,
    "an array of a petabyte": raw("weights", huge_header("(281474976710656,)"), told=True),
    "an array beyond all numbers": raw("weights", huge_header(f"({10**30},)"), told=True),
    "an array of less than nothing": raw("weights", huge_header("(-4,)"), told=True),
    "an array of no dimension": array("popularity", np.float32(1)),
    "an array of two dimensions": array("titles", np.array([[b"a"], [b"b"], [b"c"]], dtype="S16")),
    "another number of titles": array("titles", np.array([b"a", b"b"], dtype="S16")),
    "a neighbour that is no title": array("columns", np.array([1, 2, 0, 3], dtype="<u2")),
    "rows that reach beyond": array("starts", np.array([0, 2, 3, 5], dtype="<i4")),
    "rows that go back": array("starts", np.array([0, 2**31 - 1, 3, 4], dtype="<i4")),
    "a weight that is no number": array("weights", np.full(4, np.nan, dtype="<f4")),
    "a link out of the version": a_link,
    "a pipe that nobody writes to": a_pipe,
    "a manifest of a version outside": another_place("../elsewhere"),
    "a manifest of a version at an absolute path": another_place("ROOT/elsewhere"),
    "a manifest of another version": another_place("20240101T000000Z-00000000"),
    "a manifest with a number of 5,000 digits": manifest(lambda text: text.replace(": 3", ": " + "3" * 5000, 1)),
    "a manifest with giant counts": lambda folder: tell(folder, titles=10**18, neighbours=10**18),
    "a manifest with a count below nothing": lambda folder: tell(folder, titles=-3),
    "a manifest with what is not a number": lambda folder: tell(folder, recency=float("nan")),
    "a manifest with a number beyond all floats": manifest(lambda text: text.replace("0.0", "1e999", 1)),
    "a manifest with a number that arithmetic does not bear": lambda folder: tell(folder, recency=-1e300),
    "a manifest with a name twice": manifest(lambda text: text.rstrip()[:-1] + ', "titles": 3}'),
    "a manifest of a million brackets": manifest(lambda text: "[" * 1_000_000),
    "a manifest with a deep value": lambda folder: tell(folder, x=deep(500)),
    "a manifest that is a pickle": lambda folder: (folder / "manifest.json").write_bytes(
        pickle.dumps(Planted(proof(folder)))
    ),
    "a manifest that is a link": lambda folder: linked(folder / "manifest.json"),
    "a manifest without checksums": lambda folder: tell(folder, checksums={}),
}


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def linked(file: Path) -> None:
    outside = file.parent.parent.parent / "outside"
    shutil.move(file, outside)
    file.symlink_to(outside)


@pytest.mark.parametrize("case", REFUSED)
def test_a_version_that_was_tampered_with_is_refused(parts: Parts, attack: Told, case: str) -> None:
    store = parts.models
    in_use = parts.refresher.current().model
    assert in_use is not None
    evil = publish_small(store, at=NOW + timedelta(minutes=1)).version
    REFUSED[case](Path(parts.settings.model_store) / evil)
    with pytest.raises((ModelRejected, StorageUnavailable)) as refusal:
        store.load(evil)
    parts.refresher.refresh(catalogue_now=True)
    assert parts.refresher.current().model is in_use
    assert not proof(Path(parts.settings.model_store) / evil).exists()
    attack(case, str(refusal.value).replace(parts.settings.model_store, "").replace(evil, "...")[:70])


CURRENTS: dict[str, bytes] = {
    "upwards": b"../../etc/passwd",
    "an absolute path": b"/etc/passwd",
    "a path below": b"20240501T120000Z-00000000/../../x",
    "a name with a NUL": b"20240501T120000Z-00000000\0",
    "two lines": b"20240501T120000Z-00000000\n/etc/passwd",
    "digits of another script": "\uff12\uff10240501T120000Z-00000000".encode(),
    "a day there is not": b"20240230T120000Z-00000000",
    "bytes that are no text": b"\xff\xfe",
    "a megabyte": b"x" * 1_000_000,
    "nothing": b"",
}


@pytest.mark.parametrize("case", CURRENTS)
def test_the_current_version_is_a_name_and_never_a_path(parts: Parts, attack: Told, case: str) -> None:
    in_use = parts.refresher.current().model
    (Path(parts.settings.model_store) / "CURRENT").write_bytes(CURRENTS[case])
    with pytest.raises(ModelRejected, match="is not the name of a model version") as refusal:
        parts.models.current_version()
    assert len(str(refusal.value)) < 500
    parts.refresher.refresh(catalogue_now=True)
    assert parts.refresher.current().model is in_use
    attack(f"CURRENT holds {case}", "refused, the model in use stays")


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_what_is_no_file_is_not_read_as_the_current_version(parts: Parts, attack: Told, kind: str) -> None:
    file = Path(parts.settings.model_store) / "CURRENT"
    in_use = parts.refresher.current().model
    secret = file.parent.parent / "secret"
    secret.write_text("hunter2")
    file.unlink()
    if kind == "link":
        file.symlink_to(secret)
    else:
        os.mkfifo(file)
    with pytest.raises(StorageUnavailable) as refusal:
        parts.models.current_version()
    assert "hunter2" not in str(refusal.value)
    parts.refresher.refresh(catalogue_now=True)
    assert parts.refresher.current().model is in_use
    attack(f"CURRENT is a {kind}", "refused, the model in use stays")


ASKED_FOR = [
    "../x",
    "/etc/passwd",
    ".",
    "..",
    "20240501T120000Z-00000000/..",
    "CURRENT",
    "refused",
    "*",
    "a\0b",
    "x" * 9999,
]


@pytest.mark.parametrize("version", ASKED_FOR, ids=lambda version: repr(version[:30]))
def test_nobody_rolls_back_to_a_path(parts: Parts, attack: Told, version: str) -> None:
    current = parts.models.current_version()
    with pytest.raises(NoSuchModel):
        roll_back(parts.models, version)
    for do in (parts.models.load, parts.models.make_current):
        with pytest.raises(ModelRejected):
            do(version)
    assert parts.models.current_version() == current
    attack(f"roll back to {version[:30]!r}", "no such version")


def test_a_version_of_an_impossible_day_ends_no_training(parts: Parts, attack: Told) -> None:
    """It is no version: it is neither listed nor removed, and its time is not asked for."""
    odd = Path(parts.settings.model_store) / "20249999T999999Z-00000000"
    odd.mkdir()
    (odd / "titles.npy").touch()
    published = publish_small(parts.models, at=NOW + timedelta(minutes=1))
    assert parts.models.current_version() == published.version
    assert odd.name not in parts.models.versions()
    attack("a folder named as of February 30", "passed over; a training publishes")


@pytest.fixture
def remote(tmp_path: Path) -> ModelStore:
    """An object store with a version, of which this host has a copy."""
    store = ModelStore.at(f"memory://{uuid4().hex}", cache=tmp_path / "cache")
    publish_small(store)
    return store


def test_an_object_stores_manifest_removes_nothing_outside_of_the_copies(
    remote: ModelStore, tmp_path: Path, attack: Told
) -> None:
    """A copy that does not hold what the manifest tells of is removed, and fetched again."""
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "precious").touch()
    [version] = remote.versions()
    told = json.loads(remote.storage.read(f"{version}/manifest.json"))
    for there in ("../../victim", str(victim)):
        remote.storage.write(f"{version}/manifest.json", json.dumps(told | {"version": there}).encode())
        with pytest.raises(ModelRejected, match="its manifest is of another version"):
            remote.load(version)
        assert (victim / "precious").exists()
        attack(f"an object store's manifest of version {'../../victim' if there[0] == '.' else '/...'}", "refused")


def test_an_object_named_upwards_is_none_of_a_version(remote: ModelStore, attack: Told) -> None:
    [version] = remote.versions()
    remote.storage.write(f"{version}/../../victim", b"precious")
    assert not [name for name in remote.storage.names() if ".." in name]
    remote.remove(version)
    assert remote.storage.read(f"{version}/../../victim") == b"precious"
    attack("an object named <version>/../../victim", "passed over, and not removed with the version")


def test_a_folder_of_copies_is_closed_when_it_is_found_open(tmp_path: Path, attack: Told) -> None:
    tmp_path.chmod(0o777)
    make_closed(tmp_path)
    assert tmp_path.stat().st_mode & 0o777 == 0o700
    attack("MODEL_CACHE open to all", "closed")


def test_a_folder_of_copies_is_no_link(tmp_path: Path, attack: Told) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "cache").symlink_to("elsewhere")
    with pytest.raises(StorageUnavailable, match="is a link: set MODEL_CACHE"):
        make_closed(tmp_path / "cache")
    attack("MODEL_CACHE is a link", "refused")


def test_a_folder_of_copies_is_not_another_users(tmp_path: Path, attack: Told) -> None:
    if os.geteuid():
        pytest.skip("only root can give a folder away")
    os.chown(tmp_path, 12345, 12345)
    with pytest.raises(StorageUnavailable, match="belongs to another user"):
        make_closed(tmp_path)
    attack("MODEL_CACHE of another user", "refused")


COMPILES: Final = """
import logging, sys
logging.basicConfig()
sys.path.insert(0, sys.argv[1])
import planted
print(planted.double(21))
"""
SOURCE: Final = """
from shared.compiled import compiled

@compiled
def double(number):
    return number * 2
"""


def test_compiled_code_is_not_taken_from_where_others_may_write(tmp_path: Path, attack: Told) -> None:
    """It is a pickle to numba, which is shown by what happens to one in a folder that is closed."""
    (tmp_path / "planted.py").write_text(SOURCE)
    kept, ran = tmp_path / "numba", tmp_path / "proof"

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", COMPILES, str(tmp_path)],
            cwd=PROJECT,
            env={**os.environ, "NUMBA_CACHE_DIR": str(kept)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    assert run().stdout == "42\n"
    [index] = kept.rglob("*.nbi")
    evil = index.read_bytes()[: index.read_bytes().index(b"\x80")] + pickle.dumps(Planted(ran))
    for folder in (index.parent, kept):
        index.write_bytes(evil)
        folder.chmod(0o777)
        done = run()
        assert (done.stdout, ran.exists()) == ("42\n", False), done.stderr
        assert "what is compiled is not kept: others may write to" in done.stderr
        folder.chmod(0o755)
    index.write_bytes(evil)
    run()
    assert ran.exists(), "what is planted does run once it is believed"
    attack("a pickle in a NUMBA_CACHE_DIR that is open to all", "not run, and said")
