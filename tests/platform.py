"""A media platform for the tests: its three databases on a real PostgreSQL, and ours beside them."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4

import psycopg2
import redis
from flask import Flask
from flask.testing import FlaskClient

from demo.process import PROJECT
from demo.servers import Postgres, Valkey
from gateway.app import close, create_app
from shared import broker
from shared.migrations import steps
from shared.model import Model
from shared.model_store import ModelStore
from shared.parts import Databases, Parts
from shared.settings import Settings
from tests.documented import DocumentedClient
from worker.training.train import Training

DATABASES = ("user_db", "catalog_db", "engagement_db", "jobs_db")
NOON = datetime(2024, 1, 1, 12)

_Seen = TypeVar("_Seen")


class Platform:
    """Databases with a prefix of their own, two Redis database numbers, and everything built on them."""

    def __init__(
        self,
        postgres: Postgres,
        valkey: Valkey,
        model_store: Path,
        *,
        prefix: str = "",
        redis_db: int = 0,
        apart: Mapping[str, Any] | None = None,
    ):
        """apart: servers of their own, by the name of what is on them: a database's, redis, broker."""
        self.postgres, self.valkey = postgres, valkey
        self.servers: dict[str, Any] = dict.fromkeys(DATABASES, postgres) | {"redis": valkey, "broker": valkey}
        self.servers |= apart or {}
        self.model_store = model_store
        self.urls: dict[str, str] = {}
        self.redis_url = self.servers["redis"].url(redis_db)
        self.broker_url = self.servers["broker"].url(redis_db + 1)
        self._connections: dict[str, Any] = {}
        self._cleanup = contextlib.ExitStack()
        self._clock = itertools.count()
        for name in DATABASES:
            self.servers[name].create_database(prefix + name)
            self.urls[name] = self.servers[name].dsn(prefix + name)
            schema = PROJECT / "shared" / "schema" / f"{name}.sql"
            if schema.exists():
                self.sql(name, schema.read_text())

    def sql(self, database: str, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run a statement as the platform's own services would."""
        try:
            return self._sql(database, statement, values)
        except psycopg2.OperationalError:  # the server was restarted meanwhile
            self._connections.pop(database).close()
            return self._sql(database, statement, values)

    def _sql(self, database: str, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        connection = self._connections.get(database)
        if connection is None:
            connection = self._connections[database] = psycopg2.connect(self.urls[database])
            connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    def empty(self) -> None:
        """As if nobody had ever been here."""
        self.sql("user_db", "DELETE FROM user_preferences; DELETE FROM tb_user_genre")  # quicker than TRUNCATE
        self.sql("catalog_db", "DELETE FROM medias; DELETE FROM tb_media_genre")
        self.sql("engagement_db", "DELETE FROM interaction")
        self._empty_ledger()
        for url in (self.redis_url, self.broker_url):
            with redis.Redis.from_url(url) as client:
                client.flushdb()

    def job(self, job_id: UUID) -> tuple[str, dict[str, Any] | None] | None:
        """A job's state and problem, as the ledger has them; None when there is no such job."""
        rows = self.sql("jobs_db", "SELECT state, problem FROM jobs WHERE job_id = %s", str(job_id))
        return (rows[0][0], rows[0][1]) if rows else None

    def drop_ledger(self) -> None:
        """As before the service's first start."""
        self.sql("jobs_db", "DROP SCHEMA public CASCADE")
        self.sql("jobs_db", "CREATE SCHEMA public")

    def _empty_ledger(self) -> None:
        """Its tables stay, if they are there and those of this release: making them takes most of a test's time."""
        [(there,)] = self.sql("jobs_db", "SELECT to_regclass('schema_version') IS NOT NULL")
        if there and self.sql("jobs_db", "SELECT version FROM schema_version ORDER BY 1") == [(s,) for s in steps()]:
            self.sql("jobs_db", "DELETE FROM jobs; DELETE FROM workers")
        else:
            self.drop_ledger()

    def close(self) -> None:
        """Close everything that was built on the platform."""
        self._cleanup.close()
        for connection in self._connections.values():
            connection.close()

    # What the platform's users and editors do.

    def user(self, *genres: str | None, user_id: UUID | None = None, through_preferences: bool = False) -> UUID:
        """A user who prefers these genres."""
        user_id = user_id or uuid4()
        preference = uuid4()
        self.sql("user_db", "INSERT INTO user_preferences VALUES (%s, %s)", str(preference), str(user_id))
        for genre in genres:
            owner = preference if through_preferences else user_id
            self.sql("user_db", "INSERT INTO tb_user_genre VALUES (%s, %s)", str(owner), genre)
        return user_id

    def title(self, name: str | None, *genres: str | None, media_id: UUID | None = None, **columns: Any) -> UUID:
        """A title with these genres; columns: release_year, media_type, description, cover_url, deleted_at."""
        media_id = media_id or uuid4()
        columns = {"release_year": 2000, "media_type": "MOVIE"} | columns
        self.sql(
            "catalog_db",
            f"INSERT INTO medias (id, title, {', '.join(columns)}) VALUES (%s, %s{', %s' * len(columns)})",
            str(media_id),
            name,
            *columns.values(),
        )
        for genre in genres:
            self.sql("catalog_db", "INSERT INTO tb_media_genre VALUES (%s, %s)", str(media_id), genre)
        return media_id

    def interact(self, user: UUID, title: UUID, kind: str | None, at: datetime | str | None = "next") -> None:
        """An interaction; without `at` each is a minute after the one before."""
        moment = NOON + timedelta(minutes=next(self._clock)) if at == "next" else at
        self.sql(
            "engagement_db",
            'INSERT INTO interaction (user_id, media_id, type, "timestamp") VALUES (%s, %s, %s, %s)',
            str(user),
            str(title),
            kind,
            moment,
        )

    def like(self, users: UUID | Iterable[UUID], *titles: UUID) -> None:
        """Each of the users likes each of the titles."""
        for user in [users] if isinstance(users, UUID) else users:
            for title in titles:
                self.interact(user, title, "LIKE")

    def delete(self, title: UUID) -> None:
        """The platform takes a title down."""
        self.sql("catalog_db", "UPDATE medias SET deleted_at = now() WHERE id = %s", str(title))

    @contextlib.contextmanager
    def down(self, database: str) -> Iterator[None]:
        """Meanwhile one of the databases refuses every connection, and those that there were are cut."""
        if (ours := self._connections.pop(database, None)) is not None:
            ours.close()
        name = self.urls[database].rpartition("/")[2]
        with contextlib.closing(psycopg2.connect(self.servers[database].dsn())) as server, server.cursor() as cursor:
            server.autocommit = True  # an ALTER DATABASE must be seen at once
            cursor.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            try:
                cursor.execute(
                    "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s", (name,)
                )
                yield
            finally:
                cursor.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")

    @contextlib.contextmanager
    def locked(self, database: str, table: str) -> Iterator[None]:
        """Meanwhile every query of a table waits."""
        with contextlib.closing(psycopg2.connect(self.urls[database])) as holder, holder.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            yield

    # The service on top.

    def settings(self, **changes: Any) -> Settings:
        """The service's settings for this platform. A short pause after failures keeps tests short; what
        has changed shows at once."""
        defaults = {f"{name}_url": url for name, url in self.urls.items()} | {
            "redis_url": self.redis_url,
            "broker_url": self.broker_url,
            "model_store": str(self.model_store),
            "model_cache": f"{self.model_store}-cache",
            "training_budget_seconds": 0,
            "retry_pause_seconds": 0.2,
            "model_check_seconds": 0.1,
            "reuse_seconds": 0,
            "auth": "none",
        }
        return Settings(**(defaults | changes))

    def environment(self, **changes: Any) -> dict[str, str]:
        """The same as variables, for processes."""
        settings = self.settings(**changes).model_dump()
        urls = {f"{name}_url": url for name, url in self.urls.items()}
        plain = settings | urls | {"redis_url": self.redis_url, "broker_url": self.broker_url} | changes
        return {name.upper(): str(value) for name, value in plain.items() if value is not None}

    def parts(self, **changes: Any) -> Parts:
        """The service's parts in this process, publishing to the real broker, with no worker behind it."""
        settings = self.settings(**changes)
        app = broker.celery_app(settings, "tests")
        parts = Parts.build(settings, processes=1, threads=4, publish=broker.publisher(app))
        parts.start()
        self._cleanup.callback(parts.close)
        return parts

    def gateway(self, **changes: Any) -> Gateway:
        """The gateway's application in this process."""
        app = create_app(self.settings(**changes))
        self._cleanup.callback(close, app)
        return Gateway(app)

    def train(self, **changes: Any) -> Model:
        """Train and make current."""
        settings = self.settings(**changes)
        databases = Databases.connect(settings, processes=1)
        models = ModelStore.at(settings.model_store, cache=settings.model_cache)
        return Training(databases.engagement, databases.jobs, models, settings).full()


class Gateway:
    """Requests to a gateway in this process."""

    def __init__(self, app: Flask) -> None:
        app.test_client_class = DocumentedClient
        self.client: FlaskClient = app.test_client()
        self.parts: Parts = app.extensions["parts"]

    def page(self, user: UUID, *, fresh: bool = True, **query: Any) -> dict[str, Any]:
        """A user's page; fresh: computed anew. Fails unless the answer is 200."""
        headers = {"Cache-Control": "no-cache"} if fresh else {}
        answer = self.client.get(f"/api/recommendations/{user}", query_string=query, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.get_json()

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        """What is there. Fails unless the answer is 200."""
        answer = self.client.get(path, query_string=query)
        assert answer.status_code == 200, answer.text
        return answer.get_json()

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        """What it answers at once. Fails unless that is 200."""
        answer = self.client.post(path, json=body)
        assert answer.status_code == 200, answer.text
        return answer.get_json()

    def titles(self, user: UUID, **query: Any) -> list[str | None]:
        """The names of a user's titles, best first."""
        return [r["title"] for r in self.page(user, **query)["recommendations"]]

    def refresh(self) -> None:
        """Notice now what would be noticed within a minute."""
        self.parts.refresher.refresh(catalogue_now=True)


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Look until it holds; fail after so many seconds."""
    assert not last_look(lambda: not condition(), seconds), f"not so within {seconds:g} s"


def last_look(look: Callable[[], _Seen], seconds: float) -> _Seen:
    """Look until there is nothing to be seen, for so many seconds at most; what was seen last."""
    deadline = time.monotonic() + seconds
    while (seen := look()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return seen
