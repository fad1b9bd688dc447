"""What real tables hold, and what the service makes of it. docs/INTEGRATION.md says the same in words."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID, uuid4

import numpy as np
import pytest

from shared.repositories.engagement import EngagementRepository
from shared.strengths import Strengths
from tests.platform import NOON, Platform
from worker.training.interactions import Interactions
from worker.training.reading import read_interactions

HOUR = timedelta(hours=1)


class TestGenres:
    @pytest.mark.parametrize(
        ("stored", "preferred"),
        [
            pytest.param("Drama", "drama", id="another case"),
            pytest.param("  Science   Fiction ", "science fiction", id="surplus blanks"),
            pytest.param("COMÉDIE", "comédie", id="letters beyond ASCII"),
        ],
    )
    def test_genres_are_compared_without_case_and_surplus_blanks(
        self, platform: Platform, stored: str, preferred: str
    ) -> None:
        platform.title("Other", "Western")
        platform.title("Wanted", stored)
        assert platform.gateway().titles(platform.user(preferred))[0] == "Wanted"

    def test_missing_and_blank_genres_say_nothing(self, platform: Platform) -> None:
        platform.title("Nameless", None, "", "   ")
        platform.title("Drama", "Drama", None)
        gateway = platform.gateway()
        assert gateway.page(platform.user(None, "", " "))["strategy"] == "popular"
        [first, _] = gateway.page(platform.user("Drama", None, ""))["recommendations"]
        assert (first["title"], first["content_score"], first["genres"]) == ("Drama", 1.0, ["Drama"])

    def test_a_genre_listed_twice_counts_once(self, platform: Platform) -> None:
        platform.title("Twice", "Drama", "drama", "DRAMA ")
        [title] = platform.gateway().page(platform.user("Drama", "drama", "War"))["recommendations"]
        assert title["content_score"] == 0.5
        assert len(title["genres"]) == 1

    def test_genre_rows_of_titles_that_do_not_exist_are_passed_over(self, platform: Platform) -> None:
        platform.title("Drama", "Drama")
        platform.sql("catalog_db", "INSERT INTO tb_media_genre VALUES (%s, 'Drama'), (NULL, 'Drama')", str(uuid4()))
        assert platform.gateway().titles(platform.user("Drama")) == ["Drama"]

    @pytest.mark.parametrize("through_preferences", [False, True], ids=["the user's id", "the preferences row's id"])
    def test_genres_may_hang_on_the_user_or_on_the_preferences_row(
        self, platform: Platform, through_preferences: bool
    ) -> None:
        platform.title("War", "War")
        platform.title("Drama", "Drama")
        user = platform.user("Drama", through_preferences=through_preferences)
        assert platform.gateway().titles(user)[0] == "Drama"

    def test_a_user_with_genres_and_no_preferences_row_is_known(self, platform: Platform) -> None:
        platform.title("Drama", "Drama")
        user = uuid4()
        platform.sql("user_db", "INSERT INTO tb_user_genre VALUES (%s, 'Drama')", str(user))
        assert platform.gateway().page(user)["strategy"] == "content"


HISTORIES = [
    pytest.param([("LIKE", NOON)], "positive", id="a like"),
    pytest.param([("WATCH", NOON)], "positive", id="a watch"),
    pytest.param([("DISLIKE", NOON)], "seen", id="a dislike"),
    pytest.param([("LIKE", NOON), ("LIKE", NOON), ("LIKE", NOON)], "positive", id="the same like three times"),
    pytest.param([("LIKE", NOON), ("DISLIKE", NOON + HOUR)], "seen", id="a like, then a dislike"),
    pytest.param([("DISLIKE", NOON), ("LIKE", NOON + HOUR)], "positive", id="a dislike, then a like"),
    pytest.param([("DISLIKE", NOON + HOUR), ("LIKE", NOON)], "seen", id="the later opinion, whatever its row"),
    pytest.param([("DISLIKE", NOON), ("WATCH", NOON + HOUR)], "seen", id="a watch takes no dislike back"),
    pytest.param([("LIKE", NOON), ("DISLIKE", NOON)], "seen", id="at the same time, the later row"),
    pytest.param([("DISLIKE", NOON), ("LIKE", None)], "seen", id="a missing time is the oldest"),
    pytest.param([("LIKE", None), ("DISLIKE", None)], "seen", id="both times missing: the later row"),
    pytest.param([("LIKE", None)], "positive", id="a like of unknown time"),
    pytest.param([(" like ", NOON)], "positive", id="case and blanks"),
    pytest.param([("SHARE", NOON)], "seen", id="an unknown type"),
    pytest.param([(None, NOON)], "seen", id="no type"),
    pytest.param([("LIKE", NOON), ("SHARE", NOON + HOUR)], "positive", id="an unknown type changes no opinion"),
    pytest.param([("LIKE", datetime(2999, 1, 1))], "positive", id="a time to come"),
]


@pytest.mark.parametrize(("interactions", "outcome"), HISTORIES)
class TestInteractions:
    def test_a_live_history_settles_as_the_table_says(
        self, platform: Platform, interactions: list[tuple[str | None, datetime | None]], outcome: str
    ) -> None:
        heat, _ = platform.title("Heat"), platform.title("Other")
        ronin = platform.title("Ronin")
        platform.like(uuid4(), heat, ronin)
        platform.train()
        user = uuid4()
        for kind, at in interactions:
            platform.interact(user, heat, kind, at)
        page = platform.gateway().page(user)
        titles = {r["title"]: r for r in page["recommendations"]}
        assert "Heat" not in titles  # any interaction at all: it was seen
        assert page["strategy"] == ("collaborative" if outcome == "positive" else "popular")
        assert titles["Ronin"]["collaborative_score"] == (1.0 if outcome == "positive" else 0.0)

    def test_training_settles_the_same_way(
        self, platform: Platform, interactions: list[tuple[str | None, datetime | None]], outcome: str
    ) -> None:
        user, title = uuid4(), platform.title("Heat")
        for kind, at in interactions:
            platform.interact(user, title, kind, at)
        parts = platform.parts(like_strength=3, watch_strength=3)
        rows = read_interactions(EngagementRepository(parts.databases.engagement))
        strengths = Interactions.of(rows, Strengths.from_settings(parts.settings)).histories().matrix.data
        assert strengths.tolist() == ([3] if outcome == "positive" else [])


class TestOtherTables:
    """Views of other tables, not quite as asked for."""

    def test_rows_without_a_user_or_a_title_are_passed_over(self, platform: Platform) -> None:
        heat, ronin, user = platform.title("Heat"), platform.title("Ronin"), uuid4()
        platform.like([uuid4(), uuid4()], heat, ronin)
        platform.like(user, heat)
        columns = "ALTER COLUMN user_id DROP NOT NULL, ALTER COLUMN media_id DROP NOT NULL"
        platform.sql("engagement_db", f"ALTER TABLE interaction {columns}")
        for row in ((str(user), None), (None, str(heat)), (None, None)):
            platform.sql(
                "engagement_db", "INSERT INTO interaction (user_id, media_id, type) VALUES (%s, %s, 'LIKE')", *row
            )
        try:
            gateway = platform.gateway()
            assert gateway.titles(user) == ["Ronin"]
            platform.train()
            gateway.refresh()
            assert gateway.page(user)["strategy"] == "collaborative"
        finally:
            platform.sql("engagement_db", "DELETE FROM interaction WHERE user_id IS NULL OR media_id IS NULL")
            columns = columns.replace("DROP", "SET")
            platform.sql("engagement_db", f"ALTER TABLE interaction {columns}")

    @pytest.mark.parametrize(
        "change",
        [
            pytest.param("RENAME COLUMN type TO kind", id="a column is missing"),
            pytest.param("ALTER COLUMN user_id TYPE text", id="an id is text"),
        ],
    )
    def test_a_table_that_cannot_be_read_is_a_database_that_is_down(self, platform: Platform, change: str) -> None:
        platform.title("Heat", "Crime")
        user = platform.user("Crime")
        platform.sql("engagement_db", "ALTER TABLE interaction RENAME TO kept")
        platform.sql("engagement_db", "CREATE TABLE interaction (LIKE kept)")
        try:
            platform.sql("engagement_db", f"ALTER TABLE interaction {change}")
            page = platform.gateway().page(user)
            assert (page["strategy"], page["degraded"], page["count"]) == ("content", True, 1)
        finally:
            platform.sql("engagement_db", "DROP TABLE interaction")
            platform.sql("engagement_db", "ALTER TABLE kept RENAME TO interaction")


class TestTitles:
    def test_a_deleted_title_is_learned_from_but_never_shown(self, platform: Platform) -> None:
        heat, ronin, gone = (platform.title(t) for t in ("Heat", "Ronin", "Gone"))
        platform.like(uuid4(), heat, gone)
        platform.like(uuid4(), gone, ronin)
        platform.delete(gone)
        platform.train()
        gateway = platform.gateway()
        user = uuid4()
        platform.like(user, gone)
        assert set(gateway.titles(user)) == {"Heat", "Ronin"}
        assert gateway.page(user)["strategy"] == "collaborative"

    def test_a_title_deleted_since_the_list_was_made_is_left_out_at_once(self, platform: Platform) -> None:
        titles = [platform.title(name, "Drama") for name in ("A", "B", "C")]
        user = platform.user("Drama")
        gateway = platform.gateway()
        assert len(gateway.titles(user)) == 3
        platform.delete(titles[0])
        assert set(gateway.titles(user, fresh=False)) == {"B", "C"}
        gateway.refresh()
        assert set(gateway.titles(user)) == {"B", "C"}

    def test_interactions_with_titles_that_never_existed_do_no_harm(self, platform: Platform) -> None:
        heat, ronin = platform.title("Heat"), platform.title("Ronin")
        ghost, user = uuid4(), uuid4()
        platform.like(uuid4(), heat, ronin, ghost)
        platform.train()
        platform.like(user, ghost)
        assert set(platform.gateway().titles(user)) == {"Heat", "Ronin"}

    def test_a_title_of_which_nothing_is_known_is_shown_with_nulls(self, platform: Platform) -> None:
        platform.sql("catalog_db", "INSERT INTO medias (id) VALUES (%s)", str(UUID(int=5)))
        [title] = platform.gateway().page(uuid4())["recommendations"]
        reason = {"text": "Liked by many", "genres": [], "history": [], "history_rest": 0.0}
        assert title | {"score": 0.0} == {
            "reason": reason,
            "media_id": str(UUID(int=5)),
            "title": None,
            "description": None,
            "release_year": None,
            "media_type": None,
            "cover_url": None,
            "genres": [],
            "score": 0.0,
            "content_score": 0.0,
            "collaborative_score": 0.0,
            "source": "popular",
        }

    def test_an_id_that_ends_in_zero_bytes_is_an_id_like_any_other(self, platform: Platform) -> None:
        """numpy's fixed-width bytes drop trailing zeros; nothing of that may show."""
        heat = platform.title("Heat", media_id=UUID(int=7 << 64))
        ronin = platform.title("Ronin", media_id=UUID(int=9 << 120))
        user, other = UUID(int=3 << 96), UUID(int=5 << 100)
        platform.like(other, heat, ronin)
        platform.like(user, heat)
        platform.train()
        gateway = platform.gateway()
        for fresh in (True, False):
            [title] = gateway.page(user, fresh=fresh)["recommendations"]
            assert title["media_id"] == str(ronin)


class TestPopularity:
    def test_it_fades_with_age_counted_from_the_newest_interaction(self, platform: Platform) -> None:
        old, new = platform.title("Old"), platform.title("New")
        for _ in range(3):
            platform.interact(uuid4(), old, "LIKE", NOON - timedelta(days=730))
        platform.interact(uuid4(), new, "LIKE", NOON)
        assert platform.gateway(popularity_half_life_days=365).titles(uuid4()) == ["New", "Old"]  # 1 to 0.75
        assert platform.gateway(popularity_half_life_days=3650).titles(uuid4()) == ["Old", "New"]

    def test_a_time_to_come_or_without_end_does_not_make_all_else_old(self, platform: Platform) -> None:
        broken, loved = platform.title("Broken clock"), platform.title("Loved")
        platform.interact(uuid4(), broken, "LIKE", datetime(2999, 1, 1))
        platform.sql(
            "engagement_db",
            """INSERT INTO interaction (user_id, media_id, type, "timestamp") VALUES (%s, %s, 'LIKE', 'infinity')""",
            str(uuid4()),
            str(broken),
        )
        for _ in range(4):
            platform.interact(uuid4(), loved, "LIKE", NOON)
        assert platform.gateway().titles(uuid4()) == ["Loved", "Broken clock"]
        platform.like(uuid4(), broken, loved)
        platform.train()
        assert platform.gateway().titles(uuid4()) == ["Loved", "Broken clock"]

    def test_before_and_after_training_it_is_the_same(self, platform: Platform) -> None:
        titles = [platform.title(f"T{i}") for i in range(6)]
        users = [uuid4() for _ in range(5)]
        for place, title in enumerate(titles):
            for user in users[place:]:
                platform.interact(user, title, "WATCH", NOON - timedelta(days=40 * place))
        platform.interact(users[0], titles[0], "WATCH", None)
        platform.interact(users[1], titles[1], "DISLIKE", NOON)  # of what was watched: it no longer counts
        platform.interact(users[2], titles[2], "LIKE", datetime(2999, 1, 1))
        live = EngagementRepository(platform.parts().databases.engagement).popularity(365)
        trained = platform.train().popular()
        assert live.titles.tolist() == trained.titles.tolist()
        np.testing.assert_allclose(live.weights, trained.weights, rtol=1e-5)
