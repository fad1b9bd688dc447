"""While catalog_db is down: what was last seen of the titles, if that is enough."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import redis

from demo.servers import Postgres, Valkey
from tests.platform import Platform, wait_for


@pytest.fixture
def fragile(tmp_path: Path, valkey: Valkey) -> Iterator[Platform]:
    """A platform on a PostgreSQL of its own, which a test may stop."""
    with Postgres(tmp_path / "postgres", durable=False) as postgres:
        platform = Platform(postgres, valkey, tmp_path / "models", redis_db=4)
        platform.empty()
        yield platform
        platform.close()


def test_a_cached_list_is_served_with_the_titles_last_seen_and_marked_degraded(fragile: Platform) -> None:
    for name in ("Heat", "Ronin"):
        fragile.title(name, "Crime", description="about thieves")
    user = fragile.user("Crime")
    gateway = fragile.gateway()
    before = gateway.page(user)

    fragile.postgres.stop()

    assert gateway.page(user, fresh=False) == before | {"cached": True, "degraded": True}


def test_a_title_that_was_not_seen_lately_makes_it_503(fragile: Platform) -> None:
    fragile.title("Heat", "Crime")
    user = fragile.user("Crime")
    gateway = fragile.gateway()
    fragile.postgres.stop()

    answer = gateway.client.get(f"/api/recommendations/{user}")

    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0


def test_a_title_that_only_a_reason_speaks_of_and_that_was_not_seen_lately_is_left_out_of_it(fragile: Platform) -> None:
    heat, ronin = (fragile.title(name, "Crime") for name in ("Heat", "Ronin"))
    fragile.like([uuid4() for _ in range(3)], heat, ronin)
    user = fragile.user("Crime")
    fragile.like(user, heat)
    fragile.train()
    [before] = fragile.gateway().page(user)["recommendations"]
    assert before["reason"]["text"] == "Because you liked Heat"
    gateway = fragile.gateway()  # another process: it has seen neither
    with redis.Redis.from_url(fragile.redis_url) as store:
        wait_for(lambda: store.exists(*(b"title:1:" + title.bytes for title in (heat, ronin))) == 2)
        store.delete(b"title:1:" + heat.bytes)
    fragile.postgres.stop()

    [now] = gateway.page(user, fresh=False)["recommendations"]

    collaborative = before["collaborative_score"]
    unnamed = {"text": "Because you like Crime", "genres": ["Crime"], "history": [], "history_rest": collaborative}
    assert now == before | {"reason": unnamed}


def test_it_goes_on_by_itself_when_the_database_is_back(fragile: Platform) -> None:
    heat = fragile.title("Heat", "Crime")
    user = fragile.user("Crime")
    gateway = fragile.gateway()
    gateway.page(user)
    fragile.postgres.stop()
    assert gateway.client.get(f"/api/recommendations/{uuid4()}").get_json()["degraded"]
    fragile.postgres.start()

    fragile.sql("catalog_db", "UPDATE medias SET title = 'Heat (restored)' WHERE id = %s", str(heat))

    wait_for(lambda: not gateway.page(user)["degraded"], seconds=10)
    assert gateway.titles(user) == ["Heat (restored)"]


def test_another_process_serves_the_titles_that_this_one_saw(fragile: Platform) -> None:
    heat = fragile.title("Heat", "Crime", description="about thieves")
    user = fragile.user("Crime")
    before = fragile.gateway().page(user)
    gateway = fragile.gateway()
    with redis.Redis.from_url(fragile.redis_url) as store:
        wait_for(lambda: bool(store.exists(b"title:1:" + heat.bytes)))
    fragile.postgres.stop()

    assert gateway.page(user, fresh=False) == before | {"cached": True, "degraded": True}


def test_what_is_kept_of_titles_has_a_life(platform: Platform) -> None:
    platform.title("Heat", "Crime")
    platform.gateway().page(uuid4())
    with redis.Redis.from_url(platform.redis_url) as store:
        wait_for(lambda: len(list(store.scan_iter("title:*"))) == 1)
        [key] = store.scan_iter("title:*")
        assert 0 < store.ttl(key) <= 3600
