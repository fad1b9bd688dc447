"""The service's roles on the demo's PostgreSQL, with the rights of shared/schema/rights and no more."""

import contextlib
from collections.abc import Mapping
from urllib.parse import quote

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import encrypt_password

from demo.databases import DATABASES, SCHEMAS
from demo.servers import Postgres

RIGHTS = SCHEMAS / "rights"
ROLES = {"gateway": "ml_gateway", "worker": "ml_worker", "trainer": "ml_trainer"}

_CONNECT = 10  # seconds


def grant(postgres: Postgres, passwords: Mapping[str, str]) -> None:
    """Make the roles and bring their rights up to date, in databases whose tables are there, and close the server to
    everybody else. passwords: of the gateway, the worker and the trainer. Raises psycopg2.Error."""
    _execute(postgres, "postgres", "roles")
    with _connection(postgres, "postgres") as connection, connection, connection.cursor() as cursor:
        for name, role in ROLES.items():
            verifier = encrypt_password(passwords[name], role, scope=connection)  # what the server, or its log, gets
            statement = sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(verifier))
            cursor.execute(statement)
    for database in DATABASES:
        _execute(postgres, database, database)
    for database in (*DATABASES, "postgres", "template1"):
        _execute(postgres, database, "closed")


def addresses(postgres: Postgres, name: str, password: str) -> dict[str, str]:
    """Where the gateway, the worker or the trainer finds each database, with its role and password."""
    login = f"{ROLES[name]}:{quote(password, safe='')}"
    return {database: f"postgresql://{login}@127.0.0.1:{postgres.port}/{database}" for database in DATABASES}


def _execute(postgres: Postgres, database: str, file: str) -> None:
    with _connection(postgres, database) as connection, connection, connection.cursor() as cursor:
        cursor.execute((RIGHTS / f"{file}.sql").read_text(encoding="utf-8"))


def _connection(postgres: Postgres, database: str) -> contextlib.closing[psycopg2.extensions.connection]:
    return contextlib.closing(psycopg2.connect(postgres.dsn(database), connect_timeout=_CONNECT))
