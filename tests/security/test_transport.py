"""TLS to Redis, to the broker and to PostgreSQL, on real servers: who is not who the address names is not talked to."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import trustme
from pydantic import SecretStr

from demo.databases import load_sample
from demo.servers import Postgres, Valkey
from shared import broker
from shared.databases import Database
from shared.errors import BrokerUnavailable, CacheUnavailable, DatabaseUnavailable
from shared.redis_store import RedisStore
from shared.settings import Settings
from tests.faults.sample import small_sample
from tests.platform import Platform, wait_for
from tests.pools import BOUNDS
from tests.processes import WorkerProcess
from tests.security.conftest import Told
from tests.tls_servers import TlsPostgres, TlsRedis, keep, postgres_programs, redis_program

WALL = "transport"
HOST = "127.0.0.1"
SOON = 20.0  # s
LONG_AGO = datetime.now(UTC) - timedelta(days=30)


@dataclass(frozen=True)
class Files:
    """What a client is given: the authority it trusts, and its own certificate."""

    authority: Path
    certificate: Path
    key: Path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def files(folder: Path, authority: trustme.CA) -> Files:
    return Files(**keep(folder / "client", authority.issue_cert("gateway.example.com"), authority))


@pytest.fixture(scope="module")
def stranger(folder: Path) -> Files:
    """Of an authority that the servers' have nothing to do with."""
    other = trustme.CA()
    return Files(**keep(folder / "stranger", other.issue_cert(HOST), other))


@pytest.fixture(scope="module")
def servers(folder: Path, authority: trustme.CA, valkey: Valkey) -> Iterator[dict[str, Valkey]]:
    """One as it should be, one that also wants to know its clients, one whose time is over, and one without TLS."""
    redis_program()
    right = authority.issue_cert(HOST)
    expired = authority.issue_cert(HOST, not_before=LONG_AGO - timedelta(days=1), not_after=LONG_AGO)
    with ExitStack() as started:
        yield {
            "right": started.enter_context(TlsRedis(folder / "right", right, authority, mutual=False)),
            "mutual": started.enter_context(TlsRedis(folder / "mutual", right, authority, mutual=True)),
            "expired": started.enter_context(TlsRedis(folder / "expired", expired, authority, mutual=False)),
            "plain": valkey,
        }


def redis_address(server: Valkey, *, scheme: str = "rediss", host: str = HOST, db: int = 0, **options: Path) -> str:
    query = "&".join(f"ssl_{name}={value}" for name, value in options.items())
    return f"{scheme}://{host}:{server.port}/{db}" + (f"?{query}" if query else "")


def as_cache(address: str) -> None:
    store = RedisStore(address, timeout_seconds=1, pause_seconds=0.1, connections=2)
    try:
        store.set_many({b"list:2:x": b"x" * 100_000}, seconds=10)
        assert store.get_many([b"list:2:x"]) == [b"x" * 100_000]
    finally:
        store.close()


def as_broker(address: str) -> None:
    app = broker.celery_app(Settings.model_construct(broker_url=SecretStr(address), publish_seconds=1.0), "tests")
    broker.ping(app)
    broker.reply_sender(app)("recommendations.reply.tls", b"{}", 60)


CLIENTS: dict[str, Callable[[str], None]] = {"cache": as_cache, "broker": as_broker}
every_client = pytest.mark.parametrize("client", CLIENTS)


@every_client
def test_a_server_that_is_who_it_should_be_is_talked_to(servers: dict[str, Valkey], files: Files, client: str) -> None:
    CLIENTS[client](redis_address(servers["right"], ca_certs=files.authority))


@every_client
def test_a_client_shows_its_certificate_where_it_must(servers: dict[str, Valkey], files: Files, client: str) -> None:
    own = {"certfile": files.certificate, "keyfile": files.key}
    CLIENTS[client](redis_address(servers["mutual"], ca_certs=files.authority, **own))


# What is tried: the server, what is said to it, and why that comes to nothing.
REDIS: dict[str, tuple[str, dict[str, Any], str]] = {
    "another's host name": ("right", {"host": "localhost"}, "Hostname mismatch"),
    "an authority nobody knows": ("right", {"trusts": "stranger"}, "certificate verify failed"),
    "an authority the system does not know": ("right", {"trusts": None}, "certificate verify failed"),
    "a certificate that has expired": ("expired", {}, "certificate has expired"),
    "a server without TLS": ("plain", {}, "(?i)no answer|timeout|wrong.version"),  # it waits for the end of a line
    "no certificate of the client's own": ("mutual", {}, "(?i)EOF|certificate.required|closed|reset"),
    "a stranger's certificate": ("mutual", {"own": "stranger"}, "(?i)EOF|unknown.ca|closed|reset"),
    "no TLS at all": ("right", {"scheme": "redis", "trusts": None}, "(?i)closed|reset"),
}


@every_client
@pytest.mark.parametrize("tried", REDIS)
def test_who_cannot_be_verified_is_not_talked_to(
    servers: dict[str, Valkey],
    files: Files,
    stranger: Files,
    attack: Told,
    client: str,
    tried: str,
) -> None:
    server, options, reason = REDIS[tried]
    given = {"client": files, "stranger": stranger}
    trusted, own = options.get("trusts", "client"), options.get("own")
    paths = {"ca_certs": given[trusted].authority} if trusted else {}
    paths |= {"certfile": given[own].certificate, "keyfile": given[own].key} if own else {}
    elsewhere = {name: value for name, value in options.items() if name in ("scheme", "host")}
    with pytest.raises((CacheUnavailable, BrokerUnavailable), match=reason) as refusal:
        CLIENTS[client](redis_address(servers[server], **elsewhere, **paths))
    attack(f"{client}: {tried}", why(refusal.value))


def why(error: Exception) -> str:
    return re.sub(r".*(Error \d+ |unavailable: )|[^:]*_FAILED\] | ?\(_ssl.*", "", str(error))


@pytest.mark.parametrize("scheme", ["REDISS", "Rediss"])
def test_the_broker_is_verified_however_its_address_is_written(
    servers: dict[str, Valkey], files: Files, attack: Told, scheme: str
) -> None:
    as_broker(redis_address(servers["right"], scheme=scheme, ca_certs=files.authority))
    with pytest.raises(BrokerUnavailable, match="certificate verify failed") as refusal:
        as_broker(redis_address(servers["right"], scheme=scheme))
    attack(f"broker: {scheme}:// in the address", why(refusal.value))


@every_client
def test_a_file_that_is_not_there_or_no_certificate_is_said(
    servers: dict[str, Valkey], files: Files, folder: Path, client: str
) -> None:
    for file, reason in ((folder / "missing.pem", "No such file"), (files.key, "no certificate or crl found|SSL|X509")):
        with pytest.raises((CacheUnavailable, BrokerUnavailable), match=reason):
            CLIENTS[client](redis_address(servers["right"], ca_certs=file))


@pytest.fixture(scope="module")
def tls_postgres(folder: Path, authority: trustme.CA) -> Iterator[TlsPostgres]:
    postgres_programs()
    with TlsPostgres(folder / "postgres", authority.issue_cert(HOST), authority) as server:
        yield server


def over_tls(address: str, files: Files | None, *, mode: str = "verify-full", host: str = HOST) -> str:
    root = f"&sslrootcert={files.authority}" if files else ""
    return f"{address.replace(f'@{HOST}', f'@{host}')}?sslmode={mode}{root}"


def ask(address: str) -> list[tuple[Any, ...]]:
    """As the service asks for rows, and as it copies them."""
    database = Database("user_db", address, BOUNDS, read_only=True)
    try:
        sink = io.BytesIO()
        database.copy("COPY (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()) TO STDOUT", sink)
        assert sink.getvalue() == b"t\n"
        return database.fetch("SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    finally:
        database.close()


def test_postgresql_that_is_who_it_should_be_is_asked(tls_postgres: TlsPostgres, files: Files) -> None:
    assert ask(over_tls(tls_postgres.dsn(), files)) == [(True, "TLSv1.3")]


def test_postgresql_may_want_a_certificate_of_the_services_own(
    tls_postgres: TlsPostgres, files: Files, stranger: Files, attack: Told
) -> None:
    with closing(psycopg2.connect(tls_postgres.dsn())) as connection, connection, connection.cursor() as cursor:
        cursor.execute("CREATE ROLE known LOGIN PASSWORD 'known'")
    address = over_tls(f"postgresql://known:known@{HOST}:{tls_postgres.port}/postgres", files)
    ask(f"{address}&sslcert={files.certificate}&sslkey={files.key}")
    for own in ("", f"&sslcert={stranger.certificate}&sslkey={stranger.key}"):
        with pytest.raises(DatabaseUnavailable, match=r"valid client certificate|unknown ca|certificate required"):
            ask(address + own)
    attack(
        "PostgreSQL: the password without a certificate, with a stranger's",
        "connection requires a valid client certificate",
    )


POSTGRESQL: dict[str, tuple[dict[str, Any], str]] = {
    "another's host name": ({"host": "localhost"}, 'certificate for "127.0.0.1" does not match host name'),
    "an authority nobody knows": ({"trusts": "stranger"}, "certificate verify failed"),
    "no authority": ({"trusts": None}, "root certificate file .* does not exist"),
    "no TLS at all": ({"mode": "disable", "trusts": None}, "no encryption"),
    "a server without TLS": ({"plain": True}, "server does not support SSL"),
}


@pytest.mark.parametrize("tried", POSTGRESQL)
def test_a_postgresql_that_cannot_be_verified_is_not_asked_and_the_reason_is_said(
    tls_postgres: TlsPostgres,
    postgres: Postgres,
    files: Files,
    stranger: Files,
    attack: Told,
    caplog: pytest.LogCaptureFixture,
    tried: str,
) -> None:
    options, reason = POSTGRESQL[tried]
    trusted = {"client": files, "stranger": stranger, None: None}[options.get("trusts", "client")]
    how = {name: value for name, value in options.items() if name in ("mode", "host")}
    address = over_tls((postgres if "plain" in options else tls_postgres).dsn(), trusted, **how)
    for database in (Database("user_db", address, BOUNDS, read_only=True) for _ in range(2)):
        with closing(database), pytest.raises(DatabaseUnavailable, match=reason) as refusal:
            database.fetch("SELECT 1")
        with closing(database), pytest.raises(DatabaseUnavailable, match=reason):
            database.copy("COPY (SELECT 1) TO STDOUT", io.BytesIO())
    assert re.search(reason, caplog.text)
    assert tls_postgres.dsn().split(":")[2].partition("@")[0] not in caplog.text + str(refusal.value)
    attack(f"PostgreSQL: {tried}", str(refusal.value).rpartition(": ")[2][:60])


def test_the_whole_service_works_over_tls_and_over_nothing_else(
    servers: dict[str, Valkey], tls_postgres: TlsPostgres, files: Files, folder: Path
) -> None:
    own = {"ca_certs": files.authority, "certfile": files.certificate, "keyfile": files.key}
    platform = Platform(tls_postgres, servers["right"], folder / "models")
    sample = small_sample()
    load_sample(sample, *(platform.urls[name] for name in ("user_db", "catalog_db", "engagement_db")))
    addresses = {f"{name}_url": over_tls(url, files) for name, url in platform.urls.items()} | {
        "redis_url": redis_address(servers["mutual"], **own),
        "broker_url": redis_address(servers["mutual"], db=1, **own),
    }
    platform.train(**addresses)
    users = [str(user.id) for user in sample.users[:20]]
    with closing(platform), WorkerProcess(platform, folder / "worker.log", **addresses, beat_seconds=0.5) as worker:
        gateway = platform.gateway(**addresses)
        assert gateway.page(sample.users[0].id)["strategy"] == "hybrid"
        wait_for(lambda: gateway.page(sample.users[0].id, fresh=False)["cached"], SOON)
        batch = {"json": {"user_ids": users, "limit": 3}, "headers": {"Prefer": "respond-async"}}
        job = gateway.client.post("/api/recommendations/batch", **batch).headers["Location"]
        wait_for(lambda: gateway.get(job)["state"] == "completed", SOON)
        results = gateway.client.get(f"{job}/results", headers={"Accept": "application/x-ndjson"})
        assert len(results.text.splitlines()) == len(users)
        plain = """SELECT count(*) FILTER (WHERE ssl), count(*) FILTER (WHERE NOT ssl)
                     FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name LIKE 'ml-service%'"""
        with closing(psycopg2.connect(tls_postgres.dsn())) as connection, connection.cursor() as cursor:
            cursor.execute(plain)
            [(encrypted, in_the_open)] = cursor.fetchall()
        assert (encrypted > 4, in_the_open) == (True, 0)
    assert "insecure" not in worker.log().lower()
    assert "sslmode" not in worker.log()
