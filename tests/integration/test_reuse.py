"""What a process remembers for REUSE_SECONDS, so that it need not ask again: titles it has read, pages it has sent."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
import redis

from tests.platform import Gateway, Platform, wait_for

LONG = 60  # s; longer than any test
SHORT = 0.3  # s
BOUND = 10.0  # s; far above the service's own bounds, for a slow machine


@pytest.fixture
def user(platform: Platform) -> UUID:
    """A user, of a platform of three titles."""
    for place, name in enumerate(("Alien", "Brazil", "Casablanca")):
        platform.title(name, "Drama", media_id=UUID(int=place))
    return platform.user("Drama")


def ask(gateway: Gateway, user: UUID, **query: object) -> tuple[int, bytes, str | None]:
    """Status, body and ETag of a user's page."""
    answer = gateway.client.get(f"/api/recommendations/{user}", query_string=query)
    return answer.status_code, answer.data, answer.headers.get("ETag")


def rename(platform: Platform, name: str) -> None:
    platform.sql("catalog_db", "UPDATE medias SET title = %s WHERE title = 'Alien'", name)


class TestTitles:
    def test_a_title_that_was_just_read_is_not_read_again(self, platform: Platform, user: UUID) -> None:
        gateway = platform.gateway(reuse_seconds=LONG)
        before = gateway.page(user)
        with platform.locked("catalog_db", "medias"):  # a query of it would wait, and be given up
            assert gateway.page(user) == before
            assert gateway.page(uuid4())["degraded"] is False

    def test_a_title_that_was_not_read_yet_is_read(self, platform: Platform, user: UUID) -> None:
        gateway = platform.gateway(reuse_seconds=LONG)
        assert gateway.titles(user, limit=1) == ["Alien"]
        assert gateway.titles(user, limit=2) == ["Alien", "Brazil"]

    def test_what_was_changed_shows_when_the_time_is_over(self, platform: Platform, user: UUID) -> None:
        gateway = platform.gateway(reuse_seconds=SHORT)
        gateway.page(user)
        rename(platform, "Aliens")
        wait_for(lambda: "Aliens" in gateway.titles(user), seconds=BOUND)

    def test_what_was_deleted_is_gone_when_the_time_is_over(self, platform: Platform, user: UUID) -> None:
        gateway = platform.gateway(reuse_seconds=SHORT)
        gateway.page(user, fresh=False)
        platform.delete(UUID(int=0))
        wait_for(lambda: gateway.titles(user, fresh=False) == ["Brazil", "Casablanca"], seconds=BOUND)

    def test_while_the_database_is_down_what_is_remembered_is_shown_however_old_it_is(
        self, platform: Platform, user: UUID
    ) -> None:
        gateway = platform.gateway(reuse_seconds=0)
        before = gateway.page(user, fresh=False)
        with redis.Redis.from_url(platform.redis_url) as client, platform.down("catalog_db"):
            for key in client.scan_iter("title:*"):
                client.delete(key)
            assert gateway.page(user, fresh=False) == before | {"cached": True, "degraded": True}


class TestPages:
    def test_who_asks_the_same_again_gets_the_same_bytes_and_nothing_is_asked_for_them(
        self, platform: Platform, user: UUID
    ) -> None:
        gateway = platform.gateway(reuse_seconds=LONG)
        ask(gateway, user)
        cached = ask(gateway, user)
        with redis.Redis.from_url(platform.redis_url) as client:
            client.flushdb()
        with platform.down("catalog_db"), platform.down("user_db"), platform.down("engagement_db"):
            assert ask(gateway, user) == cached

    def test_what_is_kept_is_a_page_that_says_cached(self, platform: Platform, user: UUID) -> None:
        gateway = platform.gateway(reuse_seconds=LONG)
        assert [gateway.page(user, fresh=False)["cached"] for _ in range(3)] == [False, True, True]

    def test_what_is_degraded_is_not_kept(self, platform: Platform, user: UUID) -> None:
        gateway = platform.gateway(reuse_seconds=LONG)
        with platform.down("user_db"):
            assert gateway.page(user, fresh=False)["degraded"]
        wait_for(lambda: not gateway.page(user, fresh=False)["degraded"], seconds=BOUND)

    def test_another_question_is_another_page(self, platform: Platform, user: UUID) -> None:
        gateway = platform.gateway(reuse_seconds=LONG)
        for _ in range(3):
            assert gateway.titles(user, fresh=False, limit=1) == ["Alien"]
            assert gateway.titles(user, fresh=False, limit=1, offset=1) == ["Brazil"]
            assert gateway.page(uuid4(), fresh=False)["strategy"] == "popular"

    @pytest.mark.parametrize("address", ["/api/titles/popular", f"/api/titles/{UUID(int=1)}/similar"])
    def test_pages_of_titles_are_kept_too(self, platform: Platform, user: UUID, address: str) -> None:
        gateway = platform.gateway(reuse_seconds=LONG)
        gateway.get(address)
        cached = gateway.get(address)
        with redis.Redis.from_url(platform.redis_url) as client:
            client.flushdb()
        assert gateway.get(address) == cached

    def test_no_cache_makes_it_anew_for_the_next_ones_too(self, platform: Platform, user: UUID) -> None:
        gateway = platform.gateway(reuse_seconds=LONG)
        for _ in range(2):
            gateway.page(user, fresh=False)
        platform.interact(user, UUID(int=0), "WATCH")
        assert gateway.titles(user, fresh=True) == ["Brazil", "Casablanca"]
        assert gateway.titles(user, fresh=False) == ["Brazil", "Casablanca"]

    def test_who_has_the_page_is_told_so(self, platform: Platform, user: UUID) -> None:
        gateway = platform.gateway(reuse_seconds=LONG)
        for _ in range(2):
            _, _, tag = ask(gateway, user)
        assert tag is not None
        answer = gateway.client.get(f"/api/recommendations/{user}", headers={"If-None-Match": tag})
        assert (answer.status_code, answer.data) == (304, b"")

    def test_a_wrong_question_stays_wrong(self, platform: Platform, user: UUID) -> None:
        gateway = platform.gateway(reuse_seconds=LONG)
        assert [ask(gateway, user, limit=0)[0] for _ in range(3)] == [400, 400, 400]

    def test_with_no_time_nothing_is_kept(self, platform: Platform, user: UUID) -> None:
        gateway = platform.gateway(reuse_seconds=0)
        for _ in range(2):
            gateway.page(user, fresh=False)
        rename(platform, "Aliens")
        assert "Aliens" in gateway.titles(user, fresh=False)
