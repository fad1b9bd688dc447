"""What the gateway says of its own health, and how long it takes when a server hangs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest

from demo.servers import Postgres, Valkey
from tests.answers import INTERNALS, LIST, USER, closed, unavailable
from tests.platform import Gateway, Platform, wait_for

BOUND = 10.0  # s; far above every time-out of the service, for a slow machine, and far below the test's own
PROMPT = 5.0  # s; the same for readiness, whose budget is one second
PATIENT = {  # settings with which nothing but the budget of readiness comes to an end in time
    "database_checkout_seconds": 20,
    "database_connect_seconds": 20,
    "database_statement_seconds": 20,
    "redis_timeout_seconds": 10,
    "publish_seconds": 20,
}


@pytest.fixture
def gateway(platform: Platform) -> Gateway:
    return platform.gateway()


CHECKS = {"user_db", "catalog_db", "engagement_db", "jobs_db", "redis", "broker", "catalogue", "model", "worker"}


def ready(gateway: Gateway) -> tuple[int, dict[str, Any]]:
    """Status and body of /health/ready, which must come within its bound and show nothing of the inside."""
    asked = time.monotonic()
    answer = gateway.client.get("/health/ready")
    assert time.monotonic() - asked < PROMPT
    assert not [word for word in (*INTERNALS, "hunter2secret") if word in answer.text]
    body = answer.get_json()
    assert set(body) == {"status", "checks"}
    assert set(body["checks"]) == CHECKS
    assert all(set(check) == {"state", "detail"} for check in body["checks"].values())
    return answer.status_code, body


def down(body: dict[str, Any]) -> set[str]:
    return {name for name, check in body["checks"].items() if check["state"] == "down"}


def test_health_says_what_this_is_and_that_it_is_well(gateway: Gateway) -> None:
    answer = gateway.client.get("/health")
    assert answer.status_code == 200
    body = answer.get_json()
    assert (body.pop("status"), body.pop("service")) == ("healthy", "ml-service")
    assert [*body] == ["version"]
    assert all(part.isdigit() for part in body["version"].split("."))


def test_a_living_process_says_so(gateway: Gateway) -> None:
    answer = gateway.client.get("/health/live")
    assert (answer.status_code, answer.get_json()) == (200, {"status": "alive"})


def test_a_service_with_everything_is_ready(platform: Platform) -> None:
    alien, brazil = platform.title("Alien"), platform.title("Brazil")
    platform.like(uuid4(), alien, brazil)
    model = platform.train()
    gateway = platform.gateway()
    gateway.parts.workers.beat("a worker")
    status, body = ready(gateway)
    assert (status, body["status"], down(body)) == (200, "ready", set())
    assert model.version in body["checks"]["model"]["detail"]
    assert "1 alive" in body["checks"]["worker"]["detail"]


def test_a_missing_worker_and_a_missing_model_are_shown_and_stop_nobody(gateway: Gateway) -> None:
    status, body = ready(gateway)
    assert (status, body["status"], down(body)) == (200, "degraded", {"worker", "model"})


def test_a_worker_that_has_fallen_silent_is_missing(platform: Platform, gateway: Gateway) -> None:
    gateway.parts.workers.beat("a worker")
    assert "worker" not in down(ready(gateway)[1])
    platform.sql("jobs_db", "UPDATE workers SET seen_at = now() - interval '1 minute'")
    assert "worker" in down(ready(gateway)[1])


@pytest.mark.parametrize(
    ("setting", "scheme", "dead", "status"),
    [
        ("catalog_db_url", "postgresql", {"catalog_db", "catalogue"}, 503),
        ("user_db_url", "postgresql", {"user_db"}, 200),
        ("engagement_db_url", "postgresql", {"engagement_db"}, 200),
        ("jobs_db_url", "postgresql", {"jobs_db"}, 200),
        ("redis_url", "redis", {"redis"}, 200),
        ("broker_url", "redis", {"broker"}, 200),
    ],
)
def test_readiness_shows_what_is_down_and_is_503_only_while_titles_were_never_read(
    platform: Platform, setting: str, scheme: str, dead: set[str], status: int
) -> None:
    gateway = platform.gateway(**{setting: closed(scheme)})
    for _ in range(3):  # the first answer and those from memory
        seen, body = ready(gateway)
        assert (seen, body["status"]) == (status, "unavailable" if status == 503 else "degraded")
        assert down(body) - {"model", "worker"} == dead


@pytest.fixture(scope="module")
def own_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Postgres, Valkey]]:
    """Servers that these tests may pause."""
    folder = tmp_path_factory.mktemp("own")
    with Postgres(folder / "postgres", durable=False) as postgres, Valkey(folder / "valkey") as valkey:
        yield postgres, valkey


@pytest.fixture
def own_platform(own_servers: tuple[Postgres, Valkey], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    platform = Platform(*own_servers, tmp_path_factory.mktemp("models"))
    platform.empty()
    yield platform
    platform.close()


@pytest.fixture
def paused() -> Iterator[Callable[[Postgres | Valkey], None]]:
    """Pauses a server until the test is over."""
    servers: list[Postgres | Valkey] = []

    def pause(server: Postgres | Valkey) -> None:
        servers.append(server)
        server.pause()

    yield pause
    for server in servers:
        server.resume()


@pytest.mark.parametrize(
    ("server", "dead"),
    [("postgres", {"user_db", "catalog_db", "engagement_db", "jobs_db"}), ("valkey", {"redis", "broker"})],
)
def test_a_server_that_hangs_is_down_within_the_budget_and_up_again_when_it_goes_on(
    own_platform: Platform, paused: Callable[..., None], server: str, dead: set[str]
) -> None:
    gateway = own_platform.gateway(**PATIENT)
    assert down(ready(gateway)[1]) == {"model", "worker"}
    paused(getattr(own_platform, server))
    for _ in range(6):  # more probes than there are threads to wait with
        seen, body = ready(gateway)
        assert (seen, body["status"]) == (200, "degraded")
        assert down(body) - {"model", "worker"} == dead
        for address in ("/health", "/health/live"):
            assert gateway.client.get(address).status_code == 200
    getattr(own_platform, server).resume()
    wait_for(lambda: down(ready(gateway)[1]) == {"model", "worker"})


def test_a_request_to_databases_that_hang_ends_in_503_within_its_bounds(
    own_platform: Platform, paused: Callable[..., None]
) -> None:
    own_platform.title("Alien")
    gateway = own_platform.gateway(database_statement_seconds=0.5, database_connect_seconds=0.5)
    paused(own_platform.postgres)
    asked = time.monotonic()
    unavailable(gateway.client.get(LIST))
    unavailable(gateway.client.get(f"/api/jobs/{USER}"))
    assert time.monotonic() - asked < BOUND
    own_platform.postgres.resume()
    wait_for(lambda: gateway.client.get(LIST).status_code == 200)


def test_a_request_is_answered_within_its_bounds_while_redis_hangs(
    own_platform: Platform, paused: Callable[..., None]
) -> None:
    own_platform.title("Alien")
    gateway = own_platform.gateway()
    paused(own_platform.valkey)
    asked = time.monotonic()
    assert gateway.titles(UUID(USER), fresh=False) == ["Alien"]
    assert time.monotonic() - asked < BOUND
