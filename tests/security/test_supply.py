"""What an image installs is what was looked at: pip, as the Dockerfiles call it, against files that are not that; and
what is known against it is heard of."""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests import audit
from tests.containers import DOCKERFILES
from tests.receiver import Receiver, document
from tests.security.conftest import Told

WALL = "supply chain"

OPTIONS = ("--no-cache-dir", "--only-binary=:all:", "--require-hashes")


def wheel(folder: Path, name: str, *, code: str = "", needs: str | None = None) -> str:
    """A library in a file; its hash."""
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n" + (f"Requires-Dist: {needs}\n" if needs else "")
    files = {
        f"{name}.py": code,
        f"{name}-1.0.dist-info/METADATA": metadata,
        f"{name}-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip('=')},"
        f"{len(text.encode())}\n"
        for path, text in files.items()
    )
    file = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as archive:
        for path, text in {**files, f"{name}-1.0.dist-info/RECORD": record}.items():
            archive.writestr(path, text)
    return f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    """The folder that files come from."""
    folder = tmp_path / "registry"
    folder.mkdir()
    return folder


def install(registry: Path, lock: str, target: Path) -> subprocess.CompletedProcess[str]:
    file = registry.parent / "made-up.lock"
    file.write_text(lock, encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check", "install", *OPTIONS, "--no-index",
         f"--find-links={registry}", f"--target={target}", "-r", str(file)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_an_image_is_built_with_these_options_and_of_the_lock(dockerfile: Path) -> None:
    instructions = re.sub(r"^#.*\n", "", dockerfile.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert f"pip --python /venv install {' '.join(OPTIONS)} -r /requirements.lock\n" in instructions
    assert len(re.findall(r"(?<![\w-])(pip|uv|apt|apt-get|curl|wget|ADD)\b", instructions)) == 1, (
        "nothing else is installed"
    )


def test_what_was_locked_is_installed(registry: Path, tmp_path: Path) -> None:
    digest = wheel(registry, "innocent")
    done = install(registry, f"innocent==1.0 --hash={digest}\n", tmp_path / "installed")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "installed" / "innocent.py").exists()


def test_a_file_that_was_changed_since_is_refused(registry: Path, tmp_path: Path, attack: Told) -> None:
    digest = wheel(registry, "innocent")
    wheel(registry, "innocent", code="import os")
    done = install(registry, f"innocent==1.0 --hash={digest}\n", tmp_path / "installed")
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr
    assert not (tmp_path / "installed").exists()
    attack("give out another file under the same name and version", "its hash does not match; the build ends")


def test_a_library_that_nobody_locked_is_refused_although_a_locked_one_needs_it(
    registry: Path, tmp_path: Path, attack: Told
) -> None:
    digest = wheel(registry, "innocent", needs="stowaway")
    wheel(registry, "stowaway")
    done = install(registry, f"innocent==1.0 --hash={digest}\n", tmp_path / "installed")
    assert done.returncode != 0
    assert "stowaway" in done.stderr
    assert not (tmp_path / "installed").exists()
    attack("have a locked library ask for one more", "it is not in the lock; the build ends")


def test_a_library_without_a_hash_is_refused(registry: Path, tmp_path: Path, attack: Told) -> None:
    wheel(registry, "innocent")
    done = install(registry, "innocent==1.0\n", tmp_path / "installed")
    assert done.returncode != 0
    assert "Hashes are required" in done.stderr
    attack("leave a hash out of the lock", "hashes are required; the build ends")


def test_a_librarys_own_program_does_not_run_while_it_is_installed(
    registry: Path, tmp_path: Path, attack: Told
) -> None:
    ran = tmp_path / "ran"
    source = registry / "innocent-1.0.zip"
    with zipfile.ZipFile(source, "w") as archive:
        archive.writestr("innocent-1.0/setup.py", f"import pathlib\npathlib.Path({str(ran)!r}).touch()\n")
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    done = install(registry, f"innocent==1.0 --hash=sha256:{digest}\n", tmp_path / "installed")
    assert done.returncode != 0
    assert "No matching distribution" in done.stderr
    assert not ran.exists()
    attack("give out a source archive whose setup.py runs at the build", "wheels only; nothing ran")


def test_a_library_with_a_known_hole_does_not_pass(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], attack: Told
) -> None:
    lock = tmp_path / "small.lock"
    lock.write_text(f"vine==5.1.0 --hash=sha256:{'0' * 64}\n", encoding="utf-8")
    affected = [{"package": {"name": "vine", "ecosystem": "PyPI"}}]
    hole = {"id": "GHSA-aaaa-bbbb-cccc", "summary": "anybody may read anything", "affected": affected}
    with Receiver(document({"vulns": [hole]})) as server:
        assert audit.main([f"--lock={lock}", "--service=osv", f"--osv-url={server.url}"]) == audit.VULNERABLE
    told = capsys.readouterr().out.strip()
    assert told.startswith("VULNERABLE: vine 5.1.0: GHSA-aaaa-bbbb-cccc")
    attack("ship a library with a known hole", f"make audit fails: {told.partition(' (')[0]}")
