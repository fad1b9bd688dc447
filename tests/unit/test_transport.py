"""Addresses over which nobody would be verified are refused before anything connects."""

from __future__ import annotations

import logging

import pytest
from pydantic import SecretStr

from shared.broker import celery_app
from shared.databases import Database
from shared.errors import ConfigurationError
from shared.redis_store import RedisStore
from shared.settings import Settings
from shared.transport import refuse_unverified
from tests.pools import BOUNDS

SECRET = "hunter2"


@pytest.mark.parametrize(
    "address",
    [
        f"redis://gateway:{SECRET}@redis:6379/1",
        f"rediss://gateway:{SECRET}@redis:6379/1",
        f"rediss://gateway:{SECRET}@redis:6379/1?ssl_cert_reqs=required&ssl_check_hostname=True",
        f"rediss://gateway:{SECRET}@redis:6379/1?ssl_ca_certs=/run/a.pem&ssl_certfile=/run/c.pem&ssl_keyfile=/run/k.pem",
        f"amqp://us:{SECRET}@one//;amqp://us:{SECRET}@two//",
        f"amqps://us:{SECRET}@rabbitmq:5671//",
    ],
)
def test_an_address_that_says_nothing_against_it_is_taken(address: str) -> None:
    refuse_unverified("BROKER_URL", address)


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("rediss://x/1?ssl_cert_reqs=none", "ssl_cert_reqs switches off"),
        ("rediss://x/1?ssl_cert_reqs=CERT_NONE", "ssl_cert_reqs switches off"),
        ("rediss://x/1?ssl_cert_reqs=optional", "ssl_cert_reqs switches off"),
        ("rediss://x/1?ssl_cert_reqs=None&ssl_ca_certs=/run/a.pem", "ssl_cert_reqs switches off"),
        ("rediss://x/1?ssl_cert_reqs=required&ssl_cert_reqs=none", "ssl_cert_reqs switches off"),
        ("REDISS://x/1?ssl_cert_reqs=none", "ssl_cert_reqs switches off"),
        ("rediss://x/1?ssl_cert_reqs=%6eone", "ssl_cert_reqs switches off"),
        ("rediss://x/1?ssl_cert_reqs=", "ssl_cert_reqs switches off"),
        ("rediss://x/1?ssl_cert_reqs=REQUIRED", "ssl_cert_reqs switches off"),
        ("rediss://x/1?ssl_check_hostname=false", "ssl_check_hostname switches off"),
        ("rediss://x/1?ssl_check_hostname=0", "ssl_check_hostname switches off"),
        ("rediss://x/1?ssl_check_hostname=No", "ssl_check_hostname switches off"),
        ("redis://x/1?ssl_ca_certs=/run/a.pem", "redis:// has none: say rediss://"),
        ("rediss://x/1;redis://y/1", "must be of one kind"),
        ("amqps://x//;amqp://y//", "must be of one kind"),
        ("amqps://x//?ssl_ca_certs=/run/a.pem", "not taken for RabbitMQ"),
    ],
)
def test_an_address_over_which_nobody_would_be_verified_is_refused(address: str, reason: str) -> None:
    with_password = address.replace("//x", f"//us:{SECRET}@x")
    with pytest.raises(ConfigurationError, match=rf"^BROKER_URL: .*{reason}") as refusal:
        celery_app(Settings.model_construct(broker_url=SecretStr(with_password)), "tests")
    assert SECRET not in str(refusal.value)
    if ";" not in address and "amqp" not in address:
        with pytest.raises(ConfigurationError, match=rf"^REDIS_URL: .*{reason}"):
            RedisStore(with_password, timeout_seconds=1, pause_seconds=1, connections=1)


@pytest.mark.parametrize(
    ("mode", "warned"),
    [
        ("", False),
        ("?sslmode=disable", False),
        ("?sslmode=verify-full", False),
        ("?sslmode=allow", True),
        ("?sslmode=prefer", True),
        ("?sslmode=require", True),
        ("?sslmode=verify-ca", True),
    ],
)
def test_a_mode_of_postgresql_that_does_not_verify_the_server_is_warned_of(
    caplog: pytest.LogCaptureFixture, mode: str, warned: bool
) -> None:
    with caplog.at_level(logging.WARNING):
        Database("user_db", f"postgresql://us:{SECRET}@db/user_db{mode}", BOUNDS, read_only=True)
    assert ("USER_DB_URL: sslmode=" in caplog.text) is warned
    assert SECRET not in caplog.text
