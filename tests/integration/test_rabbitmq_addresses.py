"""What BROKER_URL may say of RabbitMQ: several addresses, and TLS."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest
import trustme
from celery import Celery

from shared import broker
from shared.contracts import WORK_QUEUE
from shared.errors import BrokerUnavailable
from shared.job_states import ChunkRef
from tests.answers import closed
from tests.platform import Platform
from tests.rabbitmq import RabbitMQ


def app(platform: Platform, url: str) -> Celery:
    return broker.celery_app(platform.settings(broker_url=url), "tests")


def over_tls(server: RabbitMQ, host: str = "127.0.0.1") -> str:
    return server.url.replace("amqp:", "amqps:").replace(f"127.0.0.1:{server.port}", f"{host}:{server.tls_port}")


def trust(authority: trustme.CA, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the system's list of authorities says."""
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "authority.pem"))


def test_of_several_addresses_one_that_answers_is_taken(platform: Platform, rabbitmq: RabbitMQ) -> None:
    broker.publisher(app(platform, f"{closed('amqp')};{rabbitmq.url}"))([ChunkRef(uuid4(), 0)])
    assert rabbitmq.take(WORK_QUEUE) is not None


def test_over_tls(
    platform: Platform, rabbitmq: RabbitMQ, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust(authority, tmp_path, monkeypatch)
    broker.ping(app(platform, over_tls(rabbitmq)))


def test_a_certificate_of_another_name_is_refused(
    platform: Platform, rabbitmq: RabbitMQ, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust(authority, tmp_path, monkeypatch)
    with pytest.raises(BrokerUnavailable, match="Hostname mismatch"):
        broker.ping(app(platform, over_tls(rabbitmq, host="127.1")))


def test_a_certificate_of_an_authority_nobody_knows_is_refused(
    platform: Platform, rabbitmq: RabbitMQ, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust(trustme.CA(), tmp_path, monkeypatch)
    with pytest.raises(BrokerUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
        broker.ping(app(platform, over_tls(rabbitmq)))
