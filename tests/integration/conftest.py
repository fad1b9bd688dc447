"""Servers for some of the integration tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import trustme

from tests.rabbitmq import RabbitMQ


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
