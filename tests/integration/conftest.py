"""Servers for some of the integration tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.rabbitmq import RabbitMQ


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """RabbitMQ, where it is installed."""
    with RabbitMQ(tmp_path_factory.mktemp("rabbitmq") / "data") as server:
        yield server
