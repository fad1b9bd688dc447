"""A version's files are taken only when they are what was published, and are mapped, not read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from shared.errors import ModelRejected
from shared.ids import pack_ids
from shared.model import NARROW, WIDE, Interval, Manifest, Model, array_types, checksum, open_model
from shared.model_store import ModelStore
from tests.models import NEIGHBOURS, described, publish_small

ARRAYS = ["columns", "popularity", "starts", "titles", "weights"]


@pytest.fixture
def published(tmp_path: Path) -> Model:
    return publish_small(ModelStore.at(str(tmp_path), cache=tmp_path / "unused"), description=described(0.2))


@pytest.fixture
def folder(tmp_path: Path, published: Model) -> Path:
    return tmp_path / published.version


def test_what_is_opened_is_what_was_published(folder: Path, published: Model) -> None:
    model = open_model(folder, published.manifest)
    assert (model.neighbours.toarray() == NEIGHBOURS).all()
    assert model.titles.ids.tolist() == published.titles.ids.tolist()
    assert model.titles.find(pack_ids([])).tolist() == []
    assert model.popular().weights.tolist() == [3, 2, 1]
    assert model.reach == 3


def test_a_model_in_use_is_mapped_not_read(published: Model) -> None:
    maps = Path("/proc/self/maps")
    if not maps.exists():
        pytest.skip("this system does not show what is mapped")
    assert "weights.npy" in maps.read_text()
    with pytest.raises(ValueError, match="read-only"):
        published.neighbours.data[0] = 1


def of_columns(folder: Path, published: Model, columns: np.ndarray) -> Manifest:
    """The version's manifest, once it has these columns."""
    np.save(folder / "columns.npy", columns)
    checksums = published.manifest.checksums | {"columns": checksum(folder / "columns.npy")}
    return published.manifest.model_copy(update={"checksums": checksums})


def test_columns_of_four_bytes_as_an_older_release_wrote_them_are_opened_too(folder: Path, published: Model) -> None:
    assert published.columns.dtype == NARROW
    model = open_model(folder, of_columns(folder, published, published.columns.astype(WIDE)))
    assert model.columns.dtype == WIDE
    assert (model.neighbours.toarray() == NEIGHBOURS).all()


@pytest.mark.parametrize("other", ["<i8", "<u4", "u1", "<f4"])
def test_columns_of_any_other_type_are_refused(folder: Path, published: Model, other: str) -> None:
    manifest = of_columns(folder, published, published.columns.astype(other))
    with pytest.raises(ModelRejected, match="unexpected types"):
        open_model(folder, manifest)


@pytest.mark.parametrize(("titles", "written"), [(1, NARROW), (65_536, NARROW), (65_537, WIDE)])
def test_columns_take_two_bytes_each_while_these_can_name_every_title(titles: int, written: np.dtype) -> None:
    assert array_types(titles)["columns"] == written


def test_rows_come_with_what_they_are_of(published: Model) -> None:
    of, columns, weights = published.rows(np.array([2, 0]))
    assert (of.tolist(), columns.tolist(), weights.tolist()) == ([0, 1, 1], [0, 1, 2], [1, 2, 1])
    assert [len(part) for part in published.rows(np.array([], dtype=np.int64))] == [0, 0, 0]


def test_nothing_in_a_version_is_pickled(folder: Path) -> None:
    assert sorted(path.stem for path in folder.glob("*.npy")) == ARRAYS
    for path in folder.glob("*.npy"):
        np.load(path, allow_pickle=False)


@pytest.mark.parametrize("name", ARRAYS)
def test_a_file_that_was_altered_is_refused(folder: Path, published: Model, name: str) -> None:
    path = folder / f"{name}.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(ModelRejected, match=rf"{name}\.npy is not what was published"):
        open_model(folder, published.manifest)


@pytest.mark.parametrize("name", ARRAYS)
def test_a_file_that_is_missing_is_refused(folder: Path, published: Model, name: str) -> None:
    (folder / f"{name}.npy").unlink()
    with pytest.raises(ModelRejected, match=rf"cannot be read: .*{name}\.npy"):
        open_model(folder, published.manifest)


def test_the_manifest_says_what_a_version_is(folder: Path, published: Model) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["created_at"].startswith("2024-05-01T12:00:00")
    assert sorted(manifest["checksums"]) == ARRAYS
    assert {name: manifest[name] for name in ("estimator", "users", "interactions")} == {
        "estimator": "test", "users": 7, "interactions": 11
    }  # fmt: skip
    assert {name: manifest[name] for name in ("titles", "neighbours", "reach")} == {
        "titles": 3, "neighbours": 4, "reach": 3
    }  # fmt: skip
    assert manifest["bytes"] == sum(path.stat().st_size for path in folder.glob("*.npy"))
    assert manifest["evidence"]["accuracy"] == {"value": 0.2, "low": 0.1, "high": pytest.approx(0.3)}
    assert Manifest.model_validate(manifest) == published.manifest


def test_a_manifest_of_an_older_release_is_understood() -> None:
    manifest = Manifest.model_validate_json(
        '{"version": "20240501T120000Z-00000000", "created_at": "2024-05-01T12:00:00Z", "estimator": "co-occurrence",'
        ' "parameters": {"a": 0.5, "neighbours": 200}, "users": 7, "titles": 3, "interactions": 11, "neighbours": 4,'
        ' "checksums": {}}'
    )
    assert (manifest.recency, manifest.watermark, manifest.evidence, manifest.reach, manifest.bytes) == (
        0.0, None, None, None, None
    )  # fmt: skip


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_figure_is_a_number_because_a_manifest_could_not_keep_another(value: float) -> None:
    with pytest.raises(ValidationError, match="finite"):
        Interval(value=value, low=0, high=1)
