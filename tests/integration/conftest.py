"""What several of these modules share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from gateway.auth.api_keys import ApiKeyFile, make_key
from gateway.auth.principals import Scope
from tests.conftest import Service
from tests.processes import GatewayProcess


@dataclass(frozen=True)
class Guarded:
    """A gateway that asks who its callers are, and API keys for it."""

    url: str
    key: str  # reads lists, and submits jobs
    publisher_key: str  # sees jobs that came over the queue


@pytest.fixture(scope="session")
def guarded(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A second gateway of the service, with AUTH=required."""
    folder = tmp_path_factory.mktemp("guarded")
    key, entry = make_key("newsletter", [Scope.READ, Scope.SUBMIT], None)
    publisher_key, publisher = make_key("publisher", [Scope.QUEUE], None)
    file = folder / "keys.json"
    file.write_text(ApiKeyFile(keys=(entry, publisher)).model_dump_json(), encoding="utf-8")
    with GatewayProcess(service.platform, folder / "gateway.log", auth="required", api_keys_file=file) as gateway:
        yield Guarded(gateway.client.address, key, publisher_key)
