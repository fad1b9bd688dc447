"""Users' lists in Redis: what is kept, for how long, how small, and that nobody depends on it."""

from __future__ import annotations

import random
import time
import zlib
from collections.abc import Callable, Iterator
from uuid import UUID, uuid4

import pytest
import redis
from flask.testing import FlaskClient

from demo.servers import Postgres, Valkey
from shared.job_states import ChunkRef
from tests.platform import Gateway, Platform, wait_for

BOUND = 10.0  # s; far above the service's own bounds, for a slow machine
GENRES = ("Action", "Comedy", "Crime", "Drama", "Horror", "Musical", "Romance", "War")
DEPTH = 200


def store(platform: Platform) -> redis.Redis:
    """Redis as an operator sees it."""
    return redis.Redis.from_url(platform.redis_url)


def kept(platform: Platform) -> list[bytes]:
    """The keys of cached lists."""
    with store(platform) as client:
        return sorted(client.scan_iter("list:*"))


def settled(gateway: Gateway) -> None:
    """What the gateway has made is in Redis, or lost: it is written in the background."""
    wait_for(lambda: not gateway.parts.kept.waiting, seconds=BOUND)


def remembered(platform: Platform) -> list[bytes]:
    """The keys of titles."""
    with store(platform) as client:
        return sorted(client.scan_iter("title:*"))


def fill(platform: Platform, titles: int, users: int, likes: int, *, seed: int = 1) -> list[UUID]:
    """Titles with two genres each, and users who like some of them, the first ones more often."""
    chance = random.Random(seed)
    made = [platform.title(f"T{i}", *chance.sample(GENRES, 2), media_id=uuid4()) for i in range(titles)]
    for _ in range(users):
        user = uuid4()
        platform.like(user, *{made[int(titles * chance.random() ** 2)] for _ in range(likes)})
    return made


@pytest.fixture
def user(platform: Platform) -> UUID:
    """A user who likes crime, one of whose titles others like with a few more; the model is trained."""
    titles = [platform.title(f"Crime {i}", "Crime") for i in range(6)]
    titles += [platform.title(f"Drama {i}", "Drama") for i in range(6)]
    user = platform.user("Crime")
    platform.like(user, titles[0])
    for other in range(4):
        platform.like(uuid4(), titles[0], *titles[3 : 6 + other])
    platform.train()
    return user


def test_the_second_request_is_a_hit_and_serves_any_page(platform: Platform, user: UUID) -> None:
    gateway = platform.gateway()
    whole = gateway.page(user, fresh=False, limit=100)
    assert (whole["cached"], whole["count"]) == (False, 11)
    again = gateway.page(user, fresh=False, limit=100)
    assert again == whole | {"cached": True}
    for offset, limit in ((0, 1), (3, 4), (10, 10), (11, 5), (500, 5)):
        page = gateway.page(user, fresh=False, offset=offset, limit=limit)
        assert page["cached"]
        assert page["recommendations"] == whole["recommendations"][offset : offset + limit]


def test_a_small_page_fills_the_cache_for_all_pages(platform: Platform, user: UUID) -> None:
    gateway = platform.gateway()
    gateway.page(user, fresh=False, limit=1)
    page = gateway.page(user, fresh=False, limit=100)
    assert (page["cached"], page["count"]) == (True, 11)


def test_a_list_is_cached_for_every_process(platform: Platform, user: UUID) -> None:
    gateway = platform.gateway()
    gateway.page(user, fresh=False)
    settled(gateway)
    assert platform.gateway().page(user, fresh=False)["cached"]


def test_each_user_has_a_list_of_their_own(platform: Platform, user: UUID) -> None:
    gateway = platform.gateway()
    gateway.page(user, fresh=False)
    stranger = gateway.page(uuid4(), fresh=False)
    assert (stranger["cached"], stranger["strategy"]) == (False, "popular")
    settled(gateway)
    assert len(kept(platform)) == 2


def test_a_batch_and_a_single_request_share_what_is_cached(platform: Platform, user: UUID) -> None:
    gateway, stranger = platform.gateway(), uuid4()
    single = gateway.page(user, fresh=False)
    answer = gateway.client.post("/api/recommendations/batch", json={"user_ids": [str(user), str(stranger)]})
    results = answer.get_json()["results"]
    assert results[str(user)] == single | {"cached": True}
    assert not results[str(stranger)]["cached"]
    assert gateway.page(stranger, fresh=False)["cached"]


def test_a_new_model_makes_lists_anew(platform: Platform, user: UUID) -> None:
    gateway = platform.gateway()
    before = gateway.page(user, fresh=False)
    platform.like(uuid4(), *(platform.title("New", "Crime"), platform.title("Newer", "Crime")))
    model = platform.train()
    gateway.refresh()
    page = gateway.page(user, fresh=False)
    assert not page["cached"]
    assert before["model_version"] != page["model_version"] == model.version
    assert gateway.page(user, fresh=False)["cached"]


def test_the_first_model_makes_lists_anew(platform: Platform) -> None:
    alien, brazil = platform.title("Alien"), platform.title("Brazil")
    user = uuid4()
    platform.like(user, alien)
    platform.like(uuid4(), alien, brazil)
    gateway = platform.gateway()
    assert gateway.page(user, fresh=False)["strategy"] == "popular"
    assert gateway.page(user, fresh=False)["cached"]
    platform.train()
    gateway.refresh()
    page = gateway.page(user, fresh=False)
    assert (page["strategy"], page["cached"]) == ("collaborative", False)


def test_everything_that_is_written_to_redis_has_a_life(platform: Platform, user: UUID) -> None:
    gateway = platform.gateway(cache_seconds=300, result_seconds=4000)
    gateway.page(user, fresh=False)
    body = {"user_ids": [str(user), str(uuid4())]}
    assert gateway.client.post("/api/recommendations/batch", json=body).status_code == 200
    job = gateway.client.post("/api/recommendations/batch", json=body, headers={"Prefer": "respond-async"}).get_json()
    gateway.parts.jobs.work(ChunkRef(UUID(job["job_id"]), 0), "a worker")
    settled(gateway)
    with store(platform) as client:
        lives = {key: client.ttl(key) for key in client.scan_iter("*")}
    assert {key.partition(b":")[0] for key in lives} >= {b"list", b"result"}
    for key, life in lives.items():
        most = 300 if key.startswith(b"list:") else 4000 + 3600  # results: counted from the job's end
        assert 0 < life <= most, key


def test_a_list_that_has_lived_its_life_is_made_anew(platform: Platform, user: UUID) -> None:
    gateway = platform.gateway(cache_seconds=1)
    assert not gateway.page(user, fresh=False)["cached"]
    settled(gateway)
    wait_for(lambda: kept(platform) == [], seconds=BOUND)
    assert not gateway.page(user, fresh=False)["cached"]


def hybrid(platform: Platform) -> UUID:
    """Every title known to the model; each of the list's scores its own."""
    titles = fill(platform, titles=300, users=150, likes=40)
    platform.train()
    user = platform.user("Crime", "War", "Drama")
    platform.like(user, *titles[:40:2])
    return user


def half_known(platform: Platform) -> UUID:
    """Half of the list is newer than the model."""
    known = fill(platform, titles=100, users=100, likes=30)
    platform.train()
    fill(platform, titles=200, users=0, likes=0, seed=2)
    user = platform.user("Crime", "War", "Drama")
    platform.like(user, *known[:10])
    return user


def popular(platform: Platform) -> UUID:
    """No model, nothing known of the user; each title's popularity its own."""
    fill(platform, titles=300, users=150, likes=40)
    return uuid4()


def content(platform: Platform) -> UUID:
    """No model, only genres."""
    fill(platform, titles=300, users=0, likes=0)
    return platform.user("Crime", "War", "Drama")


@pytest.mark.parametrize("listed", [hybrid, half_known, popular, content])
def test_a_users_two_hundred_titles_take_at_most_4_kilobytes(
    platform: Platform, listed: Callable[[Platform], UUID]
) -> None:
    user = listed(platform)
    gateway = platform.gateway()
    page = gateway.page(user, fresh=False, limit=100, offset=DEPTH - 100)
    assert page["count"] == 100
    settled(gateway)
    [key] = kept(platform)
    with store(platform) as client:
        assert client.strlen(key) <= 4096
        assert client.memory_usage(key, samples=0) <= 4096


# What is cached may be wrong by now.


@pytest.mark.parametrize("header", ["no-cache", "No-Cache", "max-age=0, no-cache"])
def test_a_no_cache_request_computes_anew_and_refreshes_what_is_kept(
    platform: Platform, user: UUID, header: str
) -> None:
    gateway = platform.gateway()
    before = gateway.page(user, fresh=False)
    platform.interact(user, UUID(before["recommendations"][0]["media_id"]), "WATCH")
    assert gateway.page(user, fresh=False) == before | {"cached": True}

    answer = gateway.client.get(f"/api/recommendations/{user}", headers={"Cache-Control": header}).get_json()

    assert not answer["cached"]
    assert before["recommendations"][0]["media_id"] not in [title["media_id"] for title in answer["recommendations"]]
    assert gateway.page(user, fresh=False) == answer | {"cached": True}


def test_a_deleted_title_disappears_from_a_cached_list(platform: Platform, user: UUID) -> None:
    gateway = platform.gateway()
    first, *others = gateway.titles(user, fresh=False, limit=100)
    [media_id] = [t["media_id"] for t in gateway.page(user, limit=1, fresh=False)["recommendations"]]

    platform.delete(UUID(media_id))

    assert gateway.titles(user, fresh=False, limit=100) == others  # at once
    gateway.refresh()
    page = gateway.page(user, fresh=False, limit=3)
    assert page["cached"]
    assert [title["title"] for title in page["recommendations"]] == others[:3]  # and soon without a gap
    assert first not in others


@pytest.mark.parametrize("database", ["user_db", "engagement_db"])
def test_a_degraded_list_is_not_cached(platform: Platform, user: UUID, database: str) -> None:
    gateway = platform.gateway()
    with platform.down(database):
        for _ in range(2):
            page = gateway.page(user, fresh=False)
            assert (page["degraded"], page["cached"]) == (True, False)
        settled(gateway)
        assert kept(platform) == []
    wait_for(lambda: not gateway.page(user, fresh=False)["degraded"], seconds=BOUND)
    assert gateway.page(user, fresh=False)["cached"]


def test_a_degraded_list_does_not_replace_the_one_that_is_cached(platform: Platform, user: UUID) -> None:
    gateway = platform.gateway()
    whole = gateway.page(user, fresh=False)
    with platform.down("engagement_db"):
        assert gateway.page(user, fresh=True)["degraded"]
        assert gateway.page(user, fresh=False) == whole | {"cached": True}


def garbled(change: Callable[[bytearray], object]) -> Callable[[bytes], bytes]:
    """A change of what is inside the compression, whose checksum then holds."""

    def garble(value: bytes) -> bytes:
        inside = bytearray(zlib.decompress(value))
        change(inside)
        return zlib.compress(bytes(inside))

    return garble


@pytest.mark.parametrize(
    "corrupt",
    [
        pytest.param(lambda value: b"", id="empty"),
        pytest.param(lambda value: b"garbage", id="garbage"),
        pytest.param(lambda value: value[:-1], id="cut-off"),
        pytest.param(lambda value: value[:20] + b"\0" + value[21:], id="a-wrong-byte"),
        pytest.param(lambda value: zlib.compress(b""), id="nothing-inside"),
        pytest.param(garbled(lambda inside: inside.pop()), id="too-short-inside"),
        pytest.param(garbled(lambda inside: inside.append(0)), id="too-long-inside"),
        pytest.param(garbled(lambda inside: inside.__setitem__(0, 250)), id="another-format"),
    ],
)
def test_a_corrupted_value_is_made_anew(
    platform: Platform, user: UUID, corrupt: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    gateway = platform.gateway()
    before = gateway.page(user, fresh=False)
    settled(gateway)
    [key] = kept(platform)
    with store(platform) as client:
        client.set(key, corrupt(client.get(key)))
    assert gateway.page(user, fresh=False) == before
    assert gateway.page(user, fresh=False) == before | {"cached": True}
    assert str(user) in caplog.text  # somebody should know


def test_a_value_of_another_kind_is_made_anew(platform: Platform, user: UUID) -> None:
    gateway = platform.gateway()
    before = gateway.page(user, fresh=False)
    settled(gateway)
    [key] = kept(platform)
    with store(platform) as client:
        client.delete(key)
        client.lpush(key, "not ours")
    assert gateway.page(user, fresh=False) == before
    assert gateway.page(user, fresh=False)["cached"]


@pytest.mark.parametrize("mask", [0x01, 0x80, 0xFF], ids=["lowest-bit", "highest-bit", "every-bit"])
def test_no_corruption_of_a_value_fails_a_request(platform: Platform, user: UUID, mask: int) -> None:
    gateway = platform.gateway()
    before = gateway.page(user, fresh=False, limit=100)
    settled(gateway)
    [key] = kept(platform)
    assert user.bytes in key
    app = gateway.client.application
    anything = FlaskClient(app, app.response_class)  # a score may well be out of its range then
    with store(platform) as client:
        inside = zlib.decompress(client.get(key))
        failed = []
        for place in range(len(inside)):
            other = uuid4()  # whose value has not been written by the gateway, nor is about to be
            garbled = inside[:place] + bytes([inside[place] ^ mask]) + inside[place + 1 :]
            client.set(key.replace(user.bytes, other.bytes), zlib.compress(garbled))
            answer = anything.get(f"/api/recommendations/{other}?limit=100")
            if answer.status_code != 200:
                failed.append((place, answer.status_code))
    assert failed == []
    assert gateway.page(user, limit=100) == before


@pytest.mark.parametrize("value", [b"", b"garbage", b"[]", b"{}", b'{"media_id": 7, "genres": 7}'])
def test_a_corrupted_memory_of_a_title_is_no_memory(platform: Platform, user: UUID, value: bytes) -> None:
    platform.gateway().page(user)
    wait_for(lambda: len(remembered(platform)) >= 10, seconds=BOUND)
    gateway = platform.gateway()  # another process, say: it has seen no title itself
    with store(platform) as client:
        for key in client.scan_iter("title:*"):
            client.set(key, value)
    with platform.down("catalog_db"):
        answer = gateway.client.get(f"/api/recommendations/{user}")
    assert answer.status_code == 503, answer.text


# Redis may be gone.


@pytest.fixture(scope="module")
def own_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """A server that these tests may stop, kill and pause; nothing is kept when it restarts."""
    with Valkey(tmp_path_factory.mktemp("own") / "valkey", appendonly=False) as valkey:
        yield valkey


@pytest.fixture
def fragile(
    postgres: Postgres, own_valkey: Valkey, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Gateway, UUID, Valkey]]:
    """A gateway whose Redis may be stopped, one of its users, whose list is cached, and that Redis."""
    own_valkey.start()
    platform = Platform(postgres, own_valkey, tmp_path_factory.mktemp("models"), prefix="cache_")
    platform.empty()
    for place, name in enumerate(("Alien", "Brazil", "Casablanca")):
        platform.title(name, media_id=UUID(int=place))  # equally popular: they come in order of id
    gateway = platform.gateway(redis_timeout_seconds=0.3)
    user = uuid4()
    gateway.page(user, fresh=False)
    settled(gateway)
    yield gateway, user, own_valkey
    own_valkey.resume()
    platform.close()


def computed(gateway: Gateway, user: UUID) -> None:
    """The user's list comes in full and from nowhere else, within the bound."""
    settled(gateway)  # it would come from there
    asked = time.monotonic()
    page = gateway.page(user, fresh=False)
    assert time.monotonic() - asked < BOUND
    assert [title["title"] for title in page["recommendations"]] == ["Alien", "Brazil", "Casablanca"]
    assert (page["cached"], page["degraded"]) == (False, False)


def hits(gateway: Gateway, user: UUID) -> bool:
    return gateway.page(user, fresh=False)["cached"]


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_while_redis_is_gone_lists_are_computed_and_when_it_is_back_it_is_used_again(
    fragile: tuple[Gateway, UUID, Valkey], how: str
) -> None:
    gateway, user, valkey = fragile
    assert hits(gateway, user)
    getattr(valkey, how)()
    for _ in range(5):
        computed(gateway, user)
    valkey.start()
    wait_for(lambda: hits(gateway, user), seconds=BOUND)


def test_while_redis_hangs_lists_are_computed_within_the_bound_and_when_it_goes_on_it_is_used_again(
    fragile: tuple[Gateway, UUID, Valkey],
) -> None:
    gateway, user, valkey = fragile
    valkey.pause()
    for _ in range(3):
        computed(gateway, user)
    valkey.resume()
    wait_for(lambda: hits(gateway, user), seconds=BOUND)


def test_a_restart_of_redis_between_two_requests_costs_what_was_cached_and_nothing_more(
    fragile: tuple[Gateway, UUID, Valkey], caplog: pytest.LogCaptureFixture
) -> None:
    gateway, user, valkey = fragile
    valkey.stop()
    valkey.start()
    computed(gateway, user)
    assert hits(gateway, user)
    assert "Redis is down" not in caplog.text


def test_while_redis_is_full_lists_are_computed_and_when_it_has_room_it_is_used_again(
    fragile: tuple[Gateway, UUID, Valkey],
) -> None:
    gateway, _, valkey = fragile
    newcomer = uuid4()
    with redis.Redis.from_url(valkey.url()) as client:
        client.config_set("maxmemory", 1)
        try:
            for _ in range(3):
                computed(gateway, newcomer)
        finally:
            client.config_set("maxmemory", 0)
    wait_for(lambda: hits(gateway, newcomer), seconds=BOUND)
