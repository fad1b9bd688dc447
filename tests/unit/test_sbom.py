"""`make sbom`: the bill of materials is CycloneDX, says all that the lock says, and is the same each time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from shared import __version__
from tests import sbom
from tests.locks import RUN_TIME, locked


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    file: Path = tmp_path_factory.mktemp("sbom") / "sbom.json"
    assert sbom.main([str(file)]) == 0
    return file.read_text(encoding="utf-8")


@pytest.fixture
def bill(text: str) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(text)
    return parsed


def hashes(component: dict[str, Any]) -> set[str]:
    return {
        f"{value['alg'].replace('-', '').lower()}:{value['content']}"
        for reference in component["externalReferences"]
        for value in reference.get("hashes", ())
    }


def test_it_is_valid_cyclonedx_and_about_this_service(text: str, bill: dict[str, Any]) -> None:
    assert JsonStrictValidator(SchemaVersion.from_version(bill["specVersion"])).validate_str(text) is None
    described = bill["metadata"]["component"]
    assert (described["name"], described["version"]) == ("ml-service", __version__)


def test_every_library_of_the_lock_is_in_it_with_its_version_and_address_and_hashes(bill: dict[str, Any]) -> None:
    told = [(part["name"], part["version"], part["purl"], hashes(part)) for part in bill["components"]]
    pinned = [
        (library.name, library.version, f"pkg:pypi/{library.name}@{library.version}", set(library.hashes))
        for library in locked(RUN_TIME)
    ]
    assert sorted(told) == sorted(pinned)
    assert len(pinned) > 50


def test_the_same_lock_gives_the_same_file(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    again = tmp_path / "again.json"
    assert sbom.main([str(again)]) == 0
    assert again.read_text(encoding="utf-8") == text
    assert f"{again}: {len(locked(RUN_TIME))} components" in capsys.readouterr().out
