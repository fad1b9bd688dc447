"""Real servers for every test, started once per run on free ports."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
import trustme

from demo.client import Client
from demo.databases import load_sample
from demo.movielens import Sample, read_movielens
from demo.process import Process
from demo.server import free_port
from demo.servers import Postgres, Valkey
from tests.object_store import S3
from tests.on_rabbitmq import OnRabbitMQ
from tests.platform import Platform
from tests.rabbitmq import RabbitMQ
from tests.receiver import NO_RECEIVER, SECRET


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    with Postgres(tmp_path_factory.mktemp("postgres") / "data", durable=False) as server:
        yield server


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with Valkey(tmp_path_factory.mktemp("valkey") / "data", appendonly=False) as server:
        yield server


@pytest.fixture(scope="session")
def s3() -> Iterator[S3]:
    server = S3()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def shared_platform(postgres: Postgres, valkey: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    platform = Platform(postgres, valkey, tmp_path_factory.mktemp("unused"))
    yield platform
    platform.close()


@pytest.fixture
def platform(shared_platform: Platform, tmp_path: Path) -> Iterator[Platform]:
    """An empty platform."""
    shared_platform.empty()
    shared_platform.model_store = tmp_path / "models"
    yield shared_platform
    shared_platform._cleanup.close()


@pytest.fixture(scope="session")
def movielens() -> Sample:
    """MovieLens as the demo loads it."""
    return read_movielens()


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """Who has signed the servers' certificates."""
    return trustme.CA()


@pytest.fixture(scope="session")
def rabbitmq(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """RabbitMQ, where it is installed."""
    directory = tmp_path_factory.mktemp("rabbitmq") / "data"
    with RabbitMQ(directory, certificate=authority.issue_cert("127.0.0.1")) as server:
        yield server


@pytest.fixture(scope="module")
def shared_on_rabbitmq(
    postgres: Postgres, valkey: Valkey, rabbitmq: RabbitMQ, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OnRabbitMQ]:
    folder = tmp_path_factory.mktemp("on_rabbitmq")
    platform = Platform(postgres, valkey, folder / "models", prefix=f"rabbitmq_{uuid4().hex}_", redis_db=12)
    service = OnRabbitMQ(platform, rabbitmq, folder)
    yield service
    service.close()


@pytest.fixture
def on_rabbitmq(shared_on_rabbitmq: OnRabbitMQ) -> Iterator[OnRabbitMQ]:
    """The service on RabbitMQ, whose worker survives every test."""
    yield shared_on_rabbitmq
    assert shared_on_rabbitmq.worker.process.running, shared_on_rabbitmq.worker.process.log_tail()


GATEWAY = [sys.executable, "-m", "gunicorn", "-c", "gateway/gunicorn.conf.py", "gateway.app:create_app()"]


@dataclass
class Service:
    """The whole service as a user runs it: gunicorn and a Celery worker on MovieLens."""

    platform: Platform
    sample: Sample
    client: Client
    url: str
    worker: Process
    gateway: Process


@pytest.fixture(scope="session")
def service(
    postgres: Postgres, valkey: Valkey, movielens: Sample, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    logs = tmp_path_factory.mktemp("service")
    platform = Platform(postgres, valkey, logs / "models", prefix="movielens_", redis_db=2)
    load_sample(movielens, *(platform.urls[name] for name in ("user_db", "catalog_db", "engagement_db")))
    platform.train()
    port = free_port()
    environment = platform.environment(
        web_concurrency=2,
        web_bind=f"127.0.0.1:{port}",
        client_seconds=1,
        reuse_seconds=2,
        callback_hosts=NO_RECEIVER,
        callback_secret=SECRET,
    )
    worker = Process([sys.executable, "-m", "worker", "run"], log=logs / "worker.log", environment=environment)
    gateway = Process(GATEWAY, log=logs / "gateway.log", environment=environment)
    try:
        client = Client(f"http://127.0.0.1:{port}")
        wait_until_ready(client, logs)
        yield Service(platform, movielens, client, f"http://127.0.0.1:{port}", worker, gateway)
    finally:
        gateway.stop()
        worker.stop()
        platform.close()


def wait_until_ready(client: Client, logs: Path) -> None:
    """Fails, with the ends of the logs in a folder, when the service is not ready within a minute."""
    reason: object = None
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            reason = client.get("/health/ready").body
            if reason["status"] == "ready":
                return
        except Exception as error:  # not up yet: say why only when the time is over
            reason = error
        time.sleep(0.2)
    pytest.fail(f"the service is not ready: {reason}\n" + "\n".join(p.read_text()[-2000:] for p in logs.glob("*.log")))
