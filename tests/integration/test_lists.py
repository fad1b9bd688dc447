"""What may be asked of a list, through the gateway: filters, reasons, fields, pages by cursor, and lists of no user."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import redis

from tests.platform import Platform


class Scene:
    """Six crime films and four comedies, watched by people of two tastes; and somebody who likes the first of each."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.crime = [platform.title(f"Crime {i}", "Crime", release_year=1990 + i) for i in range(6)]
        self.comedy = [
            platform.title(f"Comedy {i}", "Comedy", release_year=2000 + i, media_type="SERIES") for i in range(4)
        ]
        for many, titles in ((5, self.crime), (3, self.comedy)):
            for who in range(many):
                platform.like(uuid4(), *titles[: len(titles) - who % 2])
        self.user = platform.user("Crime")
        platform.like(self.user, self.crime[0], self.comedy[0])
        platform.train()
        self.gateway = platform.gateway(catalogue_refresh_seconds=0.01)

    def names(self, page: dict[str, Any]) -> list[str]:
        return [one["title"] for one in page["recommendations"]]


@pytest.fixture
def scene(platform: Platform) -> Scene:
    return Scene(platform)


def of_user(scene: Scene) -> str:
    return f"/api/recommendations/{scene.user}"


def like_a_title(scene: Scene) -> str:
    return f"/api/titles/{scene.crime[1]}/similar"


def popular(scene: Scene) -> str:
    return "/api/titles/popular"


LISTS = {"of-a-user": of_user, "similar": like_a_title, "popular": popular}
# name: what is asked, and what every title then is
FILTERS: dict[str, tuple[dict[str, Any], Any]] = {
    "any-genre": ({"genres_any": ["comedy", "Polka"]}, lambda one: "Comedy" in one["genres"]),
    "all-genres": ({"genres_all": [" CRIME "]}, lambda one: "Crime" in one["genres"]),
    "no-genre": ({"genres_none": ["Crime"]}, lambda one: "Crime" not in one["genres"]),
    "media-type": ({"media_type": ["series"]}, lambda one: one["media_type"] == "SERIES"),
    "years": ({"year_from": 1992, "year_to": 2001}, lambda one: 1992 <= one["release_year"] <= 2001),
}


def as_query(asked: dict[str, Any]) -> dict[str, str]:
    return {name: ",".join(map(str, value)) if isinstance(value, list) else str(value) for name, value in asked.items()}


@pytest.mark.parametrize("address", LISTS.values(), ids=LISTS)
class TestEveryList:
    @pytest.mark.parametrize(("asked", "holds"), FILTERS.values(), ids=FILTERS)
    def test_it_is_filtered_alike_by_query_and_by_body_and_says_that_the_catalogue_ran_out(
        self, scene: Scene, address: Any, asked: dict[str, Any], holds: Any
    ) -> None:
        everything = scene.gateway.get(address(scene), limit=100)["recommendations"]
        page = scene.gateway.get(address(scene), **as_query(asked), limit=100)
        expected = [one["media_id"] for one in everything if holds(one)]
        assert sorted(one["media_id"] for one in page["recommendations"]) == sorted(expected)
        assert expected
        assert page["exhausted"]
        by_body = scene.gateway.post(address(scene), **asked, limit=100)
        assert by_body == page | {"cached": True}

    def test_excluded_titles_are_not_in_it(self, scene: Scene, address: Any) -> None:
        first, second, *_ = (one["media_id"] for one in scene.gateway.get(address(scene))["recommendations"])
        page = scene.gateway.get(address(scene), exclude=f"{first},{second}", limit=100)
        assert not {first, second} & {one["media_id"] for one in page["recommendations"]}
        assert page["count"] > 0

    def test_only_the_fields_that_are_asked_for_are_shown(self, scene: Scene, address: Any) -> None:
        page = scene.gateway.get(address(scene), fields="title,score")
        assert {tuple(one) for one in page["recommendations"]} == {("title", "score")}

    def test_without_explanation_there_is_no_reason_and_otherwise_each_title_has_one(
        self, scene: Scene, address: Any
    ) -> None:
        told = scene.gateway.get(address(scene))["recommendations"]
        plain = scene.gateway.get(address(scene), explain="false")["recommendations"]
        assert all(one["reason"]["text"] for one in told)
        assert plain == [{name: value for name, value in one.items() if name != "reason"} for one in told]

    def test_pages_by_cursor_are_the_list_cut_in_pieces(self, scene: Scene, address: Any) -> None:
        whole = scene.gateway.get(address(scene), limit=100)["recommendations"]
        page = scene.gateway.get(address(scene), limit=3, cursor="*")
        found = page["recommendations"]
        while page["next_cursor"]:
            assert not page["exhausted"]
            page = scene.gateway.get(address(scene), limit=3, cursor=page["next_cursor"])
            found += page["recommendations"]
        assert found == whole
        assert page["exhausted"]

    def test_a_list_may_not_hold_more_of_a_genre_than_asked_for(self, scene: Scene, address: Any) -> None:
        page = scene.gateway.get(address(scene), max_per_genre=2, limit=100)
        genres = [genre for one in page["recommendations"] for genre in one["genres"]]
        assert {genre: genres.count(genre) for genre in set(genres)} == {"Crime": 2, "Comedy": 2}

    def test_new_titles_get_the_places_reserved_for_them_within_a_minute_of_being_added(
        self, scene: Scene, address: Any
    ) -> None:
        added = [str(scene.platform.title(f"New {i}", release_year=2026)) for i in range(5)]
        scene.gateway.refresh()
        page = scene.gateway.get(address(scene), explore=0.5, limit=4)
        assert [one["source"] == "exploration" for one in page["recommendations"]] == [False, True, False, True]
        new = [one for one in page["recommendations"] if one["source"] == "exploration"]
        assert {one["media_id"] for one in new} <= set(added)
        assert {one["reason"]["text"] for one in new} == {"New in the catalogue"}
        seeds = [scene.gateway.get(address(scene), explore=0.5, seed=seed, limit=4) for seed in range(5)]
        assert len({tuple(scene.names(one)) for one in seeds}) > 1
        assert scene.names(seeds[0]) == scene.names(page)


class TestReasons:
    def test_they_name_the_titles_of_the_history_and_the_genres(self, scene: Scene) -> None:
        page = scene.gateway.page(scene.user, limit=100)
        by_name = {one["title"]: one for one in page["recommendations"]}
        crime, comedy = by_name["Crime 1"]["reason"], by_name["Comedy 1"]["reason"]
        assert crime["text"] == "Because you liked Crime 0"
        assert (crime["genres"], comedy["genres"]) == (["Crime"], [])
        assert comedy["text"] == "Because you liked Comedy 0"
        assert [cause["media_id"] for cause in crime["history"]] == [str(scene.crime[0])]

    def test_shares_add_up_to_the_collaborative_score(self, scene: Scene) -> None:
        platform = scene.platform
        several = platform.user()
        platform.like(several, *scene.crime[:4])
        platform.interact(several, scene.crime[4], "WATCH")
        page = scene.gateway.page(several, limit=100)
        rests = []
        for one in page["recommendations"]:
            shares = [cause["share"] for cause in one["reason"]["history"]]
            assert sum(shares) + one["reason"]["history_rest"] == pytest.approx(one["collaborative_score"], abs=1e-9)
            assert shares == sorted(shares, reverse=True)
            rests.append(one["reason"]["history_rest"])
        assert max(rests) > 0  # of five titles three are named
        best = page["recommendations"][0]["reason"]
        assert best["text"].startswith("Because you liked ")
        assert len(best["history"]) == 3

    def test_what_was_only_watched_is_said_to_be_watched(self, scene: Scene) -> None:
        user = scene.platform.user()
        scene.platform.like(user, scene.crime[0])
        scene.platform.interact(user, scene.crime[1], "WATCH")
        texts = {one["reason"]["text"] for one in scene.gateway.page(user)["recommendations"]}
        assert "Because you liked Crime 0 and watched Crime 1" in texts

    def test_a_title_of_the_history_that_was_taken_down_is_not_named_and_its_share_is_the_rests(
        self, scene: Scene
    ) -> None:
        scene.platform.delete(scene.crime[0])
        scene.gateway.refresh()
        page = scene.gateway.page(scene.user, genres_all="Crime")
        reason = page["recommendations"][0]["reason"]
        assert (reason["history"], reason["text"]) == ([], "Because you like Crime")
        assert reason["history_rest"] == page["recommendations"][0]["collaborative_score"] > 0

    def test_a_user_with_preferences_alone_is_told_of_genres_and_one_of_whom_nothing_is_known_of_others(
        self, scene: Scene
    ) -> None:
        by_genre = scene.gateway.page(scene.platform.user("comedy"))["recommendations"][0]
        assert by_genre["reason"] == {
            "text": "Because you like Comedy",
            "genres": ["Comedy"],
            "history": [],
            "history_rest": 0,
        }
        assert scene.gateway.page(uuid4())["recommendations"][0]["reason"]["text"] == "Liked by many"


class TestStrategies:
    def test_each_kind_of_user_gets_a_list_that_says_how_it_was_made(self, scene: Scene) -> None:
        platform = scene.platform
        preferring, liking, both = platform.user("Crime"), platform.user(), platform.user("Crime")
        platform.like([liking, both], scene.crime[0])
        strategies = {
            "content": preferring,
            "collaborative": liking,
            "hybrid": both,
            "popular": uuid4(),
        }
        for strategy, user in strategies.items():
            page = scene.gateway.page(user)
            assert (page["strategy"], page["count"] > 0) == (strategy, True)

    def test_a_title_added_a_minute_ago_is_recommended_by_its_genres_without_training(self, scene: Scene) -> None:
        scene.platform.title("Brand new", "Crime", release_year=2026)
        scene.gateway.refresh()
        assert "Brand new" in scene.gateway.titles(scene.user, limit=100)


class TestIncludeSeen:
    def test_what_was_seen_is_shown_and_what_was_disliked_is_not(self, scene: Scene) -> None:
        scene.platform.interact(scene.user, scene.crime[1], "DISLIKE")
        without = scene.gateway.titles(scene.user, limit=100)
        with_seen = scene.gateway.titles(scene.user, limit=100, include_seen="true")
        assert set(with_seen) - set(without) == {"Crime 0", "Comedy 0"}
        assert "Crime 1" not in with_seen


class TestCursors:
    def test_a_like_between_two_pages_neither_repeats_nor_skips_a_title(self, scene: Scene) -> None:
        before = scene.gateway.page(scene.user, limit=100)["recommendations"]
        first = scene.gateway.page(scene.user, limit=3, cursor="*")
        scene.platform.like(scene.user, UUID(before[4]["media_id"]))
        changed = scene.gateway.page(scene.user, limit=100)["recommendations"]  # anew, and kept
        assert [one["media_id"] for one in changed] != [one["media_id"] for one in before]
        second = scene.gateway.page(scene.user, limit=100, cursor=first["next_cursor"])
        assert first["recommendations"] + second["recommendations"] == before

    def test_it_outlives_the_model_that_made_its_list(self, scene: Scene) -> None:
        before = scene.gateway.page(scene.user, limit=100)
        first = scene.gateway.page(scene.user, limit=3, cursor="*")
        scene.platform.like(uuid4(), *scene.comedy)
        scene.platform.train()
        scene.gateway.refresh()
        second = scene.gateway.page(scene.user, limit=100, cursor=first["next_cursor"])
        assert first["recommendations"] + second["recommendations"] == before["recommendations"]
        assert second["model_version"] == before["model_version"] != scene.gateway.page(scene.user)["model_version"]

    def test_it_goes_on_with_the_filters_it_was_given_for_alone_or_with_the_same(self, scene: Scene) -> None:
        asked = {"genres_any": "Crime", "limit": 2}
        whole = scene.gateway.page(scene.user, **asked | {"limit": 100})["recommendations"]
        cursor = scene.gateway.page(scene.user, **asked, cursor="*")["next_cursor"]
        alone = scene.gateway.page(scene.user, limit=2, cursor=cursor)
        again = scene.gateway.page(scene.user, **asked, cursor=cursor)
        assert alone["recommendations"] == again["recommendations"] == whole[2:4]
        other = scene.gateway.client.get(of_user(scene), query_string={"genres_any": "Comedy", "cursor": cursor})
        assert (other.status_code, other.get_json()["errors"][0]["field"]) == (400, "cursor")

    def test_another_users_cursor_is_refused(self, scene: Scene) -> None:
        cursor = scene.gateway.page(scene.user, limit=2, cursor="*")["next_cursor"]
        answer = scene.gateway.client.get(f"/api/recommendations/{uuid4()}", query_string={"cursor": cursor})
        assert (answer.status_code, answer.get_json()["type"]) == (400, "/problems/invalid-request")

    @pytest.mark.parametrize("left", [None, b"", b"{}", b"[]\n", b"\xff" * 40], ids=str)
    def test_one_whose_list_is_gone_or_unreadable_is_expired_and_says_so(
        self, scene: Scene, left: bytes | None
    ) -> None:
        cursor = scene.gateway.page(scene.user, limit=2, cursor="*")["next_cursor"]
        with redis.Redis.from_url(scene.platform.redis_url) as client:
            [pinned] = client.keys("pin:*")
            assert 0 < client.ttl(pinned) <= scene.platform.settings().cursor_seconds
            client.delete(pinned) if left is None else client.set(pinned, left)
        answer = scene.gateway.client.get(of_user(scene), query_string={"cursor": cursor})
        assert (answer.status_code, answer.get_json()["type"]) == (410, "/problems/cursor-expired")

    @pytest.mark.parametrize("cursor", ["AAAA", "a" * 27, "a" * 64, "-", "**"])
    def test_one_that_no_page_gave_is_refused_or_expired(self, scene: Scene, cursor: str) -> None:
        answer = scene.gateway.client.get(of_user(scene), query_string={"cursor": cursor})
        assert answer.status_code in (400, 410)

    def test_while_redis_is_down_the_first_page_is_answered_without_one(self, platform: Platform) -> None:
        user = platform.user("Drama")
        for i in range(4):
            platform.title(f"Drama {i}", "Drama")
        gateway = platform.gateway(redis_url="redis://127.0.0.1:1/0")
        page = gateway.page(user, limit=2, cursor="*")
        assert (page["count"], page["next_cursor"], page["exhausted"], page["degraded"]) == (2, None, False, True)
        answer = gateway.client.get(f"/api/recommendations/{user}", query_string={"cursor": "A" * 27})
        assert answer.status_code == 503


class TestSimilar:
    def test_it_is_what_people_like_who_like_the_title_and_says_so(self, scene: Scene) -> None:
        page = scene.gateway.get(like_a_title(scene), limit=100)
        assert page["media_id"] == str(scene.crime[1])
        assert {name.split()[0] for name in scene.names(page)[:5]} == {"Crime"}
        assert "Crime 1" not in scene.names(page)
        first = page["recommendations"][0]["reason"]
        assert (first["text"], first["genres"]) == ("Liked by people who like Crime 1", ["Crime"])

    def test_for_a_title_nobody_has_liked_the_genres_decide(self, scene: Scene) -> None:
        new = scene.platform.title("New comedy", "Comedy")
        scene.gateway.refresh()
        page = scene.gateway.get(f"/api/titles/{new}/similar")
        assert page["strategy"] == "content"
        assert {name.split()[0] for name in scene.names(page)[:4]} == {"Comedy"}
        assert page["recommendations"][0]["reason"]["text"] == "Also Comedy"

    @pytest.mark.parametrize("deleted", [False, True])
    def test_a_title_that_is_not_there_is_404(self, scene: Scene, deleted: bool) -> None:
        missing = scene.crime[2] if deleted else uuid4()
        if deleted:
            scene.platform.delete(missing)
            scene.gateway.refresh()
        answer = scene.gateway.client.get(f"/api/titles/{missing}/similar")
        assert (answer.status_code, answer.get_json()["type"]) == (404, "/problems/title-not-found")


class TestPopular:
    def test_in_general_it_is_the_order_of_the_catalogue(self, scene: Scene) -> None:
        page = scene.gateway.get("/api/titles/popular", limit=4)
        assert page["strategy"] == "popular"
        assert {name.split()[0] for name in scene.names(page)} == {"Crime"}
        assert page["recommendations"][0]["reason"]["text"] == "Liked by many"

    def test_in_a_window_it_is_what_was_liked_in_it(self, scene: Scene) -> None:
        now = datetime.now(UTC).replace(tzinfo=None)
        for days, title in ((1, scene.comedy[3]), (2, scene.comedy[2]), (3, scene.comedy[2]), (20, scene.crime[5])):
            scene.platform.interact(uuid4(), title, "LIKE", at=now - timedelta(days=days))
        week = scene.gateway.get("/api/titles/popular", window_days=7)
        assert (scene.names(week), week["exhausted"]) == (["Comedy 2", "Comedy 3"], True)
        assert week["recommendations"][0]["reason"]["text"] == "Liked by many lately"
        assert [title["score"] for title in week["recommendations"]] == [1, 0.5]
        rest = scene.gateway.get("/api/titles/popular", window_days=7, exclude=str(scene.comedy[2]))
        assert [title["score"] for title in rest["recommendations"]] == [1]  # beside the most popular of the list
        fast = scene.gateway.get("/api/titles/popular", window_days=30, half_life_days=1)
        assert scene.names(fast) == ["Comedy 3", "Comedy 2", "Crime 5"]

    def test_without_engagement_db_a_window_is_answered_with_what_is_popular_in_general_and_says_degraded(
        self, scene: Scene
    ) -> None:
        with scene.platform.down("engagement_db"):
            page = scene.gateway.get("/api/titles/popular", window_days=9)
        assert (page["degraded"], page["cached"], page["count"]) == (True, False, 10)
        assert page["recommendations"][0]["reason"]["text"] == "Liked by many"


class TestPreview:
    def test_it_is_what_a_user_with_that_history_and_these_genres_gets(self, scene: Scene) -> None:
        page = scene.gateway.post(
            "/api/recommendations/preview",
            genres=["Crime"],
            liked=[str(scene.crime[0]), str(scene.comedy[0])],
            limit=100,
        )
        theirs = scene.gateway.page(scene.user, limit=100)
        assert sorted(scene.names(page)) == sorted(scene.names({"recommendations": theirs["recommendations"]}))
        assert page["strategy"] == "hybrid"
        assert "user_id" not in page
        assert page["recommendations"][0]["reason"]["text"].startswith("Because you liked ")

    def test_nothing_is_stored_of_anybody(self, scene: Scene) -> None:
        def rows() -> list[Any]:
            count = "SELECT (SELECT count(*) FROM {}), (SELECT count(*) FROM {})"
            return [
                scene.platform.sql("user_db", count.format("user_preferences", "tb_user_genre")),
                scene.platform.sql("engagement_db", "SELECT count(*) FROM interaction"),
            ]

        before = rows()
        scene.gateway.post("/api/recommendations/preview", genres=["Crime"], liked=[str(scene.crime[0])])
        assert rows() == before

    def test_what_is_disliked_is_not_shown_and_pushes_what_is_like_it_down(self, scene: Scene) -> None:
        liked = [str(scene.crime[0])]
        disliked = [str(scene.comedy[0])]
        page = scene.gateway.post("/api/recommendations/preview", liked=liked, disliked=disliked, limit=100)
        assert not {"Crime 0", "Comedy 0"} & set(scene.names(page))
        assert scene.names(page)[-1].startswith("Comedy")

    @pytest.mark.parametrize(
        ("asked", "strategy"),
        [
            ({}, "popular"),
            ({"genres": ["Comedy"]}, "content"),
            ({"genres": ["polka"], "liked": [str(uuid4())]}, "popular"),
        ],
        ids=["nothing", "genres", "unknown"],
    )
    def test_whoever_it_is_gets_a_list(self, scene: Scene, asked: dict[str, Any], strategy: str) -> None:
        page = scene.gateway.post("/api/recommendations/preview", **asked)
        assert (page["strategy"], page["count"]) == (strategy, 10)


def test_lines_come_back_where_they_are_preferred(scene: Scene) -> None:
    users = [str(scene.user), str(uuid4())]
    body = {"user_ids": users, "limit": 2, "genres_any": ["Crime"]}
    whole = scene.gateway.client.post("/api/recommendations/batch", json=body).get_json()
    answer = scene.gateway.client.post(
        "/api/recommendations/batch", json=body, headers={"Accept": "application/x-ndjson"}
    )
    assert answer.mimetype == "application/x-ndjson"
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["user_id"] for line in lines] == users
    assert [line["recommendations"] for line in lines] == [whole["results"][user]["recommendations"] for user in users]
