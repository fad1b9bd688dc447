"""Nothing is ever unpickled or run that came from outside: no module can, and no message or block makes one."""

from __future__ import annotations

import ast
import base64
import hashlib
import io
import json
import pickle
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import numpy as np
import pytest
import redis

from demo.process import PROJECT
from shared.contracts import BATCH_TASK, DEAD_SUFFIX, QUEUE, WORK_QUEUE
from shared.model_store import ModelStore
from shared.settings import Settings
from tests.conftest import Service
from tests.estimators import drawn
from tests.histories import LIMITS
from tests.messages import envelope
from tests.platform import wait_for
from tests.security.conftest import Told
from tests.security.test_model_files import Planted
from worker.training.blocks import material
from worker.training.blocks.trainer import Blocks
from worker.training.blocks.workbench import Workbench
from worker.training.estimators.cooccurrence import CoOccurrence

WALL = "model files"

FAMILY: Final = CoOccurrence(history_exponent=0.4, user_exponent=0.5, title_exponent=0.2, order=0.2, neighbours=7)
URLS: Final = ("user_db_url", "catalog_db_url", "engagement_db_url", "jobs_db_url", "redis_url", "broker_url")

RUNS_CODE: Final = {
    "pickle",
    "_pickle",
    "cPickle",
    "marshal",
    "shelve",
    "dill",
    "cloudpickle",
    "joblib",
    "jsonpickle",
    "yaml",
}
CALLS: Final = {"eval", "exec", "compile", "__import__", "pd.read_pickle", "os.system", "os.popen"}


def unsafe(text: str) -> list[str]:
    """What a module has that may run what it reads, as it is written."""
    found = []
    for node in ast.walk(ast.parse(text)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            safe = any(k.arg == "allow_pickle" and ast.unparse(k.value) == "False" for k in node.keywords)
            plain = called.rpartition(".")[2] in ("load", "save", "open_memmap", "read_array", "write_array")
            if called in CALLS or (called.startswith(("np.", "numpy.", "npy.")) and plain and not safe):
                found.append(ast.unparse(node))
            if any(k.arg == "shell" for k in node.keywords):
                found.append(ast.unparse(node))
        found += [name for name in names if RUNS_CODE & set(name.split("."))]
    return found


def test_no_module_can_unpickle_or_run_what_it_reads(attack: Told) -> None:
    files = [file for room in ("shared", "gateway", "worker") for file in (PROJECT / room).rglob("*.py")]
    assert len(files) > 100
    assert {str(file): found for file in files if (found := unsafe(file.read_text()))} == {}
    attack("look for pickle, eval and their like in all modules", f"none in {len(files)} files")


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from pickle import loads",
        "import joblib.numpy_pickle",
        "from kombu.serialization import pickle",
        "import yaml",
        "eval(x)",
        "np.load(file)",
        "np.load(file, allow_pickle=True)",
        "np.load(file, allow_pickle=wanted)",
        "np.save(file, array)",
        "subprocess.run(x, shell=True)",
    ],
)
def test_what_would_is_seen(text: str) -> None:
    assert unsafe(text)


KINDS: Final = {
    "application/x-python-serialize": pickle.dumps,
    "application/x-yaml": lambda planted: f"!!python/object/apply:os.mkdir ['{planted.file}']".encode(),
    "application/x-msgpack": lambda planted: b"\x93\x90\x81\xa1a\x01\x80",
    "application/json": pickle.dumps,  # which it is not
}


@pytest.mark.parametrize("queue", [QUEUE, WORK_QUEUE])
@pytest.mark.parametrize("kind", KINDS)
def test_a_message_that_is_no_json_is_a_dead_letter_and_nothing_is_run(
    service: Service, tmp_path: Path, attack: Told, queue: str, kind: str
) -> None:
    planted = Planted(tmp_path / "proof")
    message = envelope({}, task=BATCH_TASK)
    message["content-type"] = kind
    message["content-encoding"] = "binary" if kind != "application/json" else "utf-8"
    message["body"] = base64.b64encode(KINDS[kind](planted)).decode()
    message["properties"]["body_encoding"] = "base64"
    raw = json.dumps(message).encode()
    with redis.Redis.from_url(service.platform.broker_url) as broker:
        broker.delete(queue + DEAD_SUFFIX)
        broker.lpush(queue, raw)
        wait_for(lambda: broker.llen(queue + DEAD_SUFFIX) == 1, 20)
        letter = json.loads(broker.lpop(queue + DEAD_SUFFIX))
    assert base64.b64decode(letter["raw"]) == raw
    assert not planted.file.exists()
    assert service.worker.running
    attack(f"{kind} on {queue}", f"dead letter: {letter['reason'][:60]}")


def sealed(content: bytes) -> bytes:
    """As a block's file is, with the checksum that it should have."""
    return hashlib.sha256(content).digest() + content


def arrays(*content: Any, **how: Any) -> bytes:
    file = io.BytesIO()
    for one in content:
        np.save(file, one, **how)
    return file.getvalue()


def ints(*numbers: int) -> np.ndarray[Any, Any]:
    return np.array(numbers, dtype="<i4")


def floats(*numbers: float) -> np.ndarray[Any, Any]:
    return np.array(numbers, dtype="<f4")


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x.npy", arrays(ints(1)))
    return file.getvalue()


def announced(shape: str) -> bytes:
    """An array that announces more than it has."""
    header = f"{{'descr': '<i4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(64)


BLOCKS: Final[dict[str, Callable[[Path], bytes]]] = {  # of three rows, over 20 titles
    "pickled objects": lambda proof: arrays(np.array([Planted(proof)] * 3, dtype=object), allow_pickle=True),
    "a pickle": lambda proof: pickle.dumps(Planted(proof)),
    "an archive": lambda _: zipped(),
    "a petabyte announced": lambda _: announced("(281474976710656,)"),
    "numbers beyond all announced": lambda _: announced(f"({10**30},)"),
    "less than nothing announced": lambda _: announced("(-4,)"),
    "a column beyond all titles": lambda _: arrays(ints(1, 0, 0), ints(2_000_000_000), floats(1)),
    "a column below all titles": lambda _: arrays(ints(1, 0, 0), ints(-1), floats(1)),
    "a row of less than nothing": lambda _: arrays(ints(3, -1, -1), ints(0), floats(1)),
    "rows longer than there is": lambda _: arrays(ints(9, 9, 9), ints(0), floats(1)),
    "a row more": lambda _: arrays(ints(1, 0, 0, 0), ints(0), floats(1)),
    "no rows": lambda _: arrays(ints(), ints(), floats()),
    "a weight that is no number": lambda _: arrays(ints(1, 0, 0), ints(0), floats(float("nan"))),
    "arrays of two dimensions": lambda _: arrays(ints(1, 0, 0).reshape(3, 1), ints(0), floats(1)),
    "wide numbers": lambda _: arrays(np.array([1, 0, 0]), np.array([0]), np.array([1.0])),
}


@pytest.mark.parametrize("case", BLOCKS)
def test_a_block_that_was_tampered_with_is_made_again(tmp_path: Path, attack: Told, case: str) -> None:
    """Its checksum is right, so all else is put to the test; and others have names that are no numbers."""
    histories, proof = drawn(60, 20, seed=1), tmp_path / "proof"
    location = str(tmp_path / "models")
    store = ModelStore.at(location, cache=tmp_path / "cache")
    evil = sealed(BLOCKS[case](proof))

    def publish(training: UUID, blocks: Sequence[int]) -> None:
        for name in (*blocks, "x", "-1", "\u0663", "1e3", "9" * 200, " 1"):
            store.storage.write(f"blocks-{training}/rows-{name}", evil)

    settings = Settings(**dict.fromkeys(URLS, "unused"), model_store=location, training_block_titles=3)
    made = Blocks(Workbench(store, tmp_path / "copies"), publish, settings).fit(FAMILY.rows(histories), threads=1)
    right = FAMILY.fit(histories, LIMITS)
    assert (made.shape, made.nnz, abs(made - right).max()) == (right.shape, right.nnz, 0)
    assert not proof.exists()
    attack(f"a block of a training holds {case}", "made again")


OUT_OF_PLACE: Final[dict[str, tuple[str, Callable[[Any], Any]]]] = {  # an array of a training's material, and another
    "histories that reach beyond": ("starts", lambda a: np.append(a[:-1], a[-1] + 1_000_000)),
    "histories that go back": ("starts", lambda a: np.concatenate([a[:1], [10**12], a[2:]])),
    "a title there is not": ("titles", lambda a: np.append(a[:-1], 2_000_000_000)),
    "a title below all": ("titles", lambda a: np.append(a[:-1], -5)),
    "an entry beyond all": ("entries", lambda a: np.append(a[:-1], 10**15)),
    "a user there is not": ("users", lambda a: np.append(a[:-1], 2_000_000_000)),
    "fewer weights than entries": ("strengths", lambda a: a[:-1]),
    "fewer users": ("damping", lambda a: a[:-1]),
    "fewer titles": ("of_row", lambda a: a[:-1]),
    "no titles": ("title_starts", lambda a: a[:0]),
    "two dimensions": ("of_column", lambda a: a.reshape(-1, 1)),
    "objects": ("users", lambda a: np.array([Planted(Path("unused"))] * len(a), dtype=object)),
}


@pytest.mark.parametrize("case", OUT_OF_PLACE)
def test_what_blocks_are_made_from_is_refused_when_it_leads_out_of_its_arrays(
    tmp_path: Path, attack: Told, case: str
) -> None:
    """The compiled loops look at no bounds, and the checksums are right."""
    written = material.write(tmp_path, material.Material(FAMILY.rows(drawn(60, 20, seed=1)), block_titles=3))
    assert material.read(tmp_path, written).blocks == 7
    name, change = OUT_OF_PLACE[case]
    file = tmp_path / f"{name}.npy"
    right = np.load(file, allow_pickle=False)
    other = change(right)
    np.save(file, other if other.dtype == object else other.astype(right.dtype), allow_pickle=True)
    told = written.model_copy(update={"checksums": written.checksums | {name: material.checksum(file)}})
    with pytest.raises(ValueError, match=r"go together|one dimension|Array can't be memory-mapped"):
        material.read(tmp_path, told)
    attack(f"what blocks are made from holds {case}", "refused")
