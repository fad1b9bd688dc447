"""A PostgreSQL data directory: made once, with a password, owned by the user the server runs as."""

import os
import re
import secrets
import shutil
import subprocess
from pathlib import Path

from demo import identity as identities
from demo.errors import ServerError
from demo.identity import Identity
from demo.process import Process, log_tail

ENVIRONMENT = {"LC_ALL": "C"}  # an uninstalled locale in ours must not stop PostgreSQL
_BUILTIN_LOCALE = 17  # first version whose C.UTF-8 needs nothing from the system
_WAYS = {Identity.NAMESPACE: "as `nobody` in a user namespace", Identity.NOBODY: "as the user `nobody`"}
_INITDB = 60.0  # seconds
_PROBE = 15.0  # seconds


def password(directory: Path) -> str:
    """The password of the user `postgres`. Raises ServerError before the first start."""
    try:
        return _password_file(directory).read_text().strip()
    except OSError as error:
        raise ServerError(f"No password in {directory}: {error.strerror}. Start the server first.") from error


def choose_identity(programs: Path, directory: Path) -> Identity:
    """The user PostgreSQL accepts, and who reaches both its programs and `directory`.

    Raises ServerError naming every way tried and what stood in it.
    """
    candidates = identities.candidates()
    if candidates == [Identity.SAME]:
        return Identity.SAME
    refusals = []
    for candidate in candidates:
        refusal = _refusal(candidate, programs, directory)
        if refusal is None:
            return candidate
        refusals.append(f"  {_WAYS[candidate]}: {refusal}")
    raise ServerError(
        f"PostgreSQL does not run as this user (uid {os.geteuid()}), and no way round it works here:\n"
        + "\n".join(refusals)
        + "\nRun this as an ordinary user who owns the folder"
        + (", or move it where `nobody` may enter, such as /srv." if os.geteuid() == 0 else ".")
    )


def prepare(programs: Path, directory: Path, *, identity: Identity, log: Path, lock: int, durable: bool) -> Path:
    """Run initdb unless it has been done; return the data directory.

    Raises ServerError when initdb fails, or when the data is of another major version.
    """
    data = directory / "data"
    major = _major_version(programs)
    made = (data / "PG_VERSION").exists()
    if not made:
        _make_password(directory)
    if identity is Identity.NOBODY:
        _hand_over(directory)
    if made:
        found = (data / "PG_VERSION").read_text().strip()
        if found != str(major):
            raise ServerError(f"{data} is from PostgreSQL {found}, not {major}. Remove {directory} to start afresh.")
        # The lock is ours, so no process of this directory lives and the file can only be stale;
        # PostgreSQL would take it for true when another process got the same number.
        (data / "postmaster.pid").unlink(missing_ok=True)
        return data
    unfinished = directory / "data.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    locale = ["--locale=C"]
    if major >= _BUILTIN_LOCALE:
        locale += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    initdb = Process(
        [
            programs / "initdb",
            f"--pgdata={unfinished}",
            "--username=postgres",
            f"--pwfile={_password_file(directory)}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            *locale,
            *([] if durable else ["--no-sync"]),
        ],
        log=log,
        environment=ENVIRONMENT,
        identity=identity,
        keep_open=[lock],
    )
    try:
        status = initdb.wait(_INITDB)
    finally:
        initdb.stop()
    if status != 0:
        raise ServerError(f"initdb failed (exit {status}).\n{log_tail(log)}")
    unfinished.rename(data)
    return data


def _refusal(identity: Identity, programs: Path, directory: Path) -> str | None:
    """Why the server could not run as `identity`; None when it can."""
    # `nobody` will be given the directory itself; what lies above it must be passable already.
    folder = directory.parent if identity is Identity.NOBODY else directory
    log = directory / "log"
    script = 'for path; do test -x "$path" || { echo "cannot reach $path"; exit 1; }; done'
    try:
        probe = Process(["/bin/sh", "-c", script, "sh", programs / "postgres", folder], log=log, identity=identity)
    except ServerError as error:
        return str(error)
    try:
        return None if probe.wait(_PROBE) == 0 else log.read_text().splitlines()[-1]
    finally:
        probe.stop()


def _major_version(programs: Path) -> int:
    answer = subprocess.run(  # nosec B603 # a program that we found, without a shell
        [programs / "postgres", "--version"], check=False, capture_output=True, text=True, timeout=_PROBE
    )
    if not (found := re.search(r"\) (\d+)", answer.stdout)):
        raise ServerError(f"{programs / 'postgres'} does not run: {answer.stderr.strip() or answer.stdout.strip()}")
    return int(found[1])


def _make_password(directory: Path) -> None:
    path = _password_file(directory)
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(secrets.token_urlsafe(24) + "\n")


def _password_file(directory: Path) -> Path:
    return directory / "password"


def _hand_over(directory: Path) -> None:
    """As root: give the directory and all in it to `nobody`, who is to run the server."""
    uid, gid = identities.nobody()
    for path in (directory, *directory.rglob("*")):
        if path.stat(follow_symlinks=False).st_uid != uid:
            os.chown(path, uid, gid, follow_symlinks=False)
