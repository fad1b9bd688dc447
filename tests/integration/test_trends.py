"""What is liked most lately: how it is counted, and that nobody waits for it long or twice."""

from __future__ import annotations

import random
import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import redis

from demo.servers import Postgres, Valkey
from shared.catalogue import Popularity
from shared.errors import DatabaseUnavailable
from shared.ids import to_uuids
from shared.repositories.engagement import EngagementRepository
from shared.trends import Times, Trends
from tests.guides import Guide
from tests.platform import Platform, wait_for

BOUND = 10.0  # s; far above the bounds set here, for a slow machine
TIMES = Times(life=600, wait=BOUND, pause=0.2, slow_pause=0.2)
HEAT, RONIN = UUID(int=1 << 64), UUID(int=2 << 64)
DAY = timedelta(days=1)

Make = Callable[..., Trends]


def ago(days: float) -> datetime:
    """A time as the table has it. An hour is less than what matters here, a machine may be slow."""
    return datetime.now(UTC).replace(tzinfo=None) - timedelta(days=days)


def weights(popularity: Popularity) -> dict[UUID, float]:
    return dict(zip(to_uuids(popularity.titles), popularity.weights.tolist(), strict=True))


@pytest.fixture
def engagement(platform: Platform) -> EngagementRepository:
    return EngagementRepository(platform.parts().databases.engagement)


@pytest.fixture
def make(platform: Platform) -> Make:
    """Makes what a process has, with bounds of its own."""

    def make(times: Times = TIMES, **settings: float) -> Trends:
        parts = platform.parts(**settings)
        return Trends(EngagementRepository(parts.databases.engagement), parts.redis, times)

    return make


Did = list[tuple[str | None, float | str | None]]  # types, and days ago, or as PostgreSQL says it

HISTORIES = [
    pytest.param([("LIKE", 1)], 1, 1, id="a like"),
    pytest.param([("WATCH", 1)], 1, 1, id="a watch"),
    pytest.param([("DISLIKE", 1)], 0, 0, id="a dislike"),
    pytest.param([(" like\t", 1)], 1, 1, id="case and blanks"),
    pytest.param([("SHARE", 1)], 0, 0, id="an unknown type"),
    pytest.param([(None, 1)], 0, 0, id="no type"),
    pytest.param([("LIKE", 1), ("LIKE", 2), ("WATCH", 3)], 1, 1, id="several times by one user"),
    pytest.param([("LIKE", 2), ("DISLIKE", 1)], 0, 0, id="a like, then a dislike"),
    pytest.param([("DISLIKE", 2), ("LIKE", 1)], 1, 1, id="a dislike, then a like"),
    pytest.param([("DISLIKE", 2), ("WATCH", 1)], 0, 0, id="a watch takes no dislike back"),
    pytest.param([("LIKE", 8)], 0, 1, id="before the window"),
    pytest.param([("LIKE", 6.9)], 1, 1, id="at the window's beginning"),
    pytest.param([("LIKE", 8), ("WATCH", 1)], 1, 1, id="liked before, watched within"),
    pytest.param([("DISLIKE", 8), ("WATCH", 1)], 1, 0, id="disliked before, watched within"),
    pytest.param([("LIKE", None)], 0, 1, id="of unknown time"),
    pytest.param([("LIKE", "-infinity")], 0, 1, id="of a time without beginning"),
    pytest.param([("DISLIKE", None), ("LIKE", 1)], 1, 1, id="a dislike of unknown time, then a like"),
    pytest.param([("LIKE", -1)], 0, 0, id="of tomorrow"),
    pytest.param([("LIKE", "infinity")], 0, 0, id="of a time without end"),
    pytest.param([("LIKE", 1), ("DISLIKE", -1)], 1, 1, id="a dislike of tomorrow"),
]


class TestCounting:
    @pytest.mark.parametrize(("did", "in_a_week", "of_all_time"), HISTORIES)
    def test_a_users_interactions_with_a_title_count_as_the_table_says(
        self, platform: Platform, engagement: EngagementRepository, did: Did, in_a_week: int, of_all_time: int
    ) -> None:
        user = uuid4()
        for kind, days in did:
            platform.interact(user, HEAT, kind, days if isinstance(days, str) or days is None else ago(days))
        for window, count in ((7, in_a_week), (None, of_all_time)):
            found = engagement.trending(window_days=window, half_life_days=None, most=9)
            assert weights(found) == ({HEAT: count} if count else {})
            faded = engagement.trending(window_days=window, half_life_days=3650, most=9)  # hardly
            assert weights(faded) == pytest.approx({HEAT: count} if count else {}, rel=0.01)

    def test_age_counts_from_now_even_when_nothing_is_new(
        self, platform: Platform, engagement: EngagementRepository
    ) -> None:
        platform.interact(uuid4(), HEAT, "LIKE", ago(30))
        platform.interact(uuid4(), HEAT, "WATCH", ago(60))
        found = engagement.trending(window_days=90, half_life_days=30, most=9)
        assert weights(found) == pytest.approx({HEAT: 1 / 2 + 1 / 4}, rel=1e-3)

    def test_an_unknown_time_is_as_old_as_the_oldest_known(
        self, platform: Platform, engagement: EngagementRepository
    ) -> None:
        platform.interact(uuid4(), HEAT, "LIKE", None)
        assert weights(engagement.trending(window_days=None, half_life_days=10, most=9)) == {HEAT: 1}
        platform.interact(uuid4(), RONIN, "LIKE", ago(20))
        found = engagement.trending(window_days=None, half_life_days=10, most=9)
        assert weights(found) == pytest.approx({HEAT: 1 / 4, RONIN: 1 / 4}, rel=1e-3)

    @pytest.mark.parametrize("window", [None, 365])
    def test_what_is_hundreds_of_half_lives_old_counts_next_to_nothing(
        self, platform: Platform, engagement: EngagementRepository, window: int | None
    ) -> None:
        platform.interact(uuid4(), HEAT, "LIKE", ago(360))
        platform.interact(uuid4(), RONIN, "LIKE", ago(150))
        found = weights(engagement.trending(window_days=window, half_life_days=1, most=9))
        assert found.keys() == {HEAT, RONIN}
        assert all(0 < weight < 1e-30 for weight in found.values())

    def test_only_the_most_liked_are_kept_and_of_equals_the_smaller_ids(
        self, platform: Platform, engagement: EngagementRepository
    ) -> None:
        titles = [UUID(int=number << 64) for number in range(1, 6)]
        for title, likes in zip(titles, (1, 2, 1, 3, 1), strict=True):
            for _ in range(likes):
                platform.interact(uuid4(), title, "LIKE", ago(1))
        found = engagement.trending(window_days=7, half_life_days=None, most=3)
        assert weights(found) == {titles[3]: 3, titles[1]: 2, titles[0]: 1}

    @pytest.mark.parametrize("window", [1, 7, 300, None])
    @pytest.mark.parametrize("half_life", [2, None])
    def test_it_is_what_a_slow_count_gives(
        self, platform: Platform, engagement: EngagementRepository, window: int | None, half_life: int | None
    ) -> None:
        chance = random.Random(7)
        users, titles = [uuid4() for _ in range(6)], [uuid4() for _ in range(6)]
        rows = []
        for _ in range(150):
            days = chance.choice([None, -1.5, *(chance.uniform(0.1, 20) for _ in range(8))])
            kind = chance.choice(["LIKE", "WATCH", "DISLIKE", "OTHER"])
            rows.append((chance.choice(users), chance.choice(titles), kind, days))
            platform.interact(*rows[-1][:3], None if days is None else ago(days))

        counted = [row for row in rows if (row[3] is None and window is None) or 0 < (row[3] or -1) < (window or 99)]
        of_pair = defaultdict(list)
        for number, (user, title, kind, days) in enumerate(counted):
            opinion = {"OTHER": 0, "WATCH": 1}.get(kind, 2)
            of_pair[user, title].append((opinion, -1e9 if days is None else -days, number, kind, days))
        standing = {pair: max(these) for pair, these in of_pair.items()}
        positive = {pair: last[4] for pair, last in standing.items() if last[3] in ("LIKE", "WATCH")}
        oldest = max((days for days in positive.values() if days is not None), default=0.0)
        expected: dict[UUID, float] = defaultdict(float)
        for (_, title), days in positive.items():
            expected[title] += 2 ** -((oldest if days is None else days) / half_life) if half_life else 1

        found = engagement.trending(window_days=window, half_life_days=half_life, most=99)
        assert weights(found) == pytest.approx(dict(expected), rel=1e-2)
        assert expected

    def test_a_column_with_a_time_zone_is_read_as_it_is(
        self, platform: Platform, engagement: EngagementRepository
    ) -> None:
        change = 'ALTER TABLE interaction ALTER COLUMN "timestamp" TYPE'
        platform.interact(uuid4(), HEAT, "LIKE", ago(6.9))
        platform.interact(uuid4(), RONIN, "LIKE", ago(7.1))
        platform.sql("engagement_db", f"{change} timestamptz USING \"timestamp\" AT TIME ZONE 'UTC'")
        try:
            assert weights(engagement.trending(window_days=7, half_life_days=None, most=9)) == {HEAT: 1}
        finally:
            platform.sql("engagement_db", f"{change} timestamp USING \"timestamp\" AT TIME ZONE 'UTC'")

    def test_with_an_index_on_time_the_window_alone_is_read(self, platform: Platform) -> None:
        database = platform.parts().databases.engagement
        platform.sql(
            "engagement_db",
            """INSERT INTO interaction (user_id, media_id, type, "timestamp")
               SELECT gen_random_uuid(), gen_random_uuid(), 'LIKE', now() - n * interval '1 hour'
                 FROM generate_series(1, 20000) AS n""",
        )
        platform.sql("engagement_db", Guide("INTEGRATION.md").code("sql: engagement_db index of time"))
        platform.sql("engagement_db", "ANALYZE interaction")
        try:
            found = EngagementRepository(database).trending(window_days=1, half_life_days=None, most=99)
            assert len(found.titles) == 23
            database.close()  # the server notes at the end of a connection what it read
            read = "SELECT idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = 'interaction_timestamp_idx'"
            wait_for(lambda: 23 <= platform.sql("engagement_db", read)[0][0] < 100, seconds=BOUND)
        finally:
            platform.sql("engagement_db", "DROP INDEX interaction_timestamp_idx")


class TestKeeping:
    def test_what_was_read_serves_every_process_for_its_life(self, platform: Platform, make: Make) -> None:
        platform.interact(uuid4(), HEAT, "LIKE", ago(1))
        ours, theirs = make(), make()
        first = ours.get(7, None)
        platform.interact(uuid4(), RONIN, "LIKE", ago(1))
        assert ours.get(7, None) is first
        assert weights(theirs.get(7, None)) == weights(first) == {HEAT: 1}
        with redis.Redis.from_url(platform.redis_url) as store:
            [key] = store.scan_iter("*")
            assert key.startswith(b"trends:1:")
            assert 0 < store.ttl(key) <= 600

    def test_after_its_life_it_is_read_again_also_where_another_process_read_it(
        self, platform: Platform, make: Make
    ) -> None:
        platform.interact(uuid4(), HEAT, "LIKE", ago(1))
        ours, theirs = (make(replace(TIMES, life=2)) for _ in range(2))
        ours.get(7, None)
        read_at = time.monotonic()
        theirs.get(7, None)
        platform.interact(uuid4(), HEAT, "LIKE", ago(1))
        time.sleep(max(0.0, read_at + 2.5 - time.monotonic()))
        assert weights(theirs.get(7, None)) == {HEAT: 2}
        assert weights(ours.get(7, None)) == {HEAT: 2}

    @pytest.mark.parametrize("other", [(8, None), (None, None), (7, 1)])
    def test_each_window_and_half_life_is_a_thing_of_its_own(
        self, platform: Platform, make: Make, other: tuple[int | None, int | None]
    ) -> None:
        platform.interact(uuid4(), HEAT, "LIKE", ago(0.5))
        platform.interact(uuid4(), HEAT, "LIKE", ago(7.5))
        trends = make()
        assert weights(trends.get(7, None)) != weights(trends.get(*other))
        assert weights(make().get(7, None)) != weights(make().get(*other))

    def test_nothing_liked_is_kept_like_anything_else(self, platform: Platform, make: Make) -> None:
        assert weights(make().get(7, None)) == {}
        platform.interact(uuid4(), HEAT, "LIKE", ago(1))
        assert weights(make().get(7, None)) == {}

    def test_ten_thousand_titles_come_back_as_they_were_in_little_space(self, platform: Platform, make: Make) -> None:
        platform.sql(
            "engagement_db",
            """INSERT INTO interaction (user_id, media_id, type, "timestamp")
               SELECT gen_random_uuid(), gen_random_uuid(), 'LIKE', now() - n * interval '1 minute'
                 FROM generate_series(1, 10500) AS n""",
        )
        first, again = make().get(30, 2), make().get(30, 2)
        assert len(first.titles) == 10_000
        assert weights(again) == weights(first)
        with redis.Redis.from_url(platform.redis_url) as store:
            [key] = store.scan_iter("trends:*")
            assert store.strlen(key) <= 210_000

    def test_a_process_keeps_the_sixteen_it_used_last(self, platform: Platform, make: Make) -> None:
        trends = make()
        for window in [*range(1, 17), 1, 17]:
            trends.get(window, None)
        with redis.Redis.from_url(platform.redis_url) as store:
            store.flushdb()
        platform.interact(uuid4(), HEAT, "LIKE", ago(0.5))
        assert [weights(trends.get(window, None)) for window in (1, 3, 17, 2)] == [{}, {}, {}, {HEAT: 1}]

    @pytest.mark.parametrize(
        "corrupt",
        [
            pytest.param(lambda value: b"", id="empty"),
            pytest.param(lambda value: b"garbage", id="garbage"),
            pytest.param(lambda value: value[:-1], id="cut-off"),
            pytest.param(lambda value: value[:9] + bytes([value[9] ^ 1]) + value[10:], id="a-wrong-bit"),
            pytest.param(lambda value: zlib.compress(b""), id="nothing-inside"),
            pytest.param(lambda value: zlib.compress(zlib.decompress(value)[:-4]), id="too-short-inside"),
            pytest.param(lambda value: zlib.compress(zlib.decompress(value) + b"\0"), id="too-long-inside"),
        ],
    )
    def test_a_corrupted_value_is_read_anew(
        self, platform: Platform, make: Make, corrupt: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
    ) -> None:
        platform.interact(uuid4(), HEAT, "LIKE", ago(1))
        make().get(7, None)
        with redis.Redis.from_url(platform.redis_url) as store:
            [key] = store.scan_iter("trends:*")
            store.set(key, corrupt(store.get(key)))
        assert weights(make().get(7, None)) == {HEAT: 1}
        assert "unreadable" in caplog.text


class TestTrouble:
    def test_while_redis_is_gone_a_process_keeps_its_own(self, postgres: Postgres, tmp_path: Path) -> None:
        with Valkey(tmp_path / "valkey", appendonly=False) as valkey:
            platform = Platform(postgres, valkey, tmp_path / "models", prefix="trends_")
            try:
                platform.empty()
                platform.interact(uuid4(), HEAT, "LIKE", ago(1))
                parts = platform.parts(redis_timeout_seconds=0.3)
                trends = Trends(EngagementRepository(parts.databases.engagement), parts.redis, TIMES)
                valkey.stop()
                first = trends.get(7, None)
                assert weights(first) == {HEAT: 1}
                assert trends.get(7, None) is first
            finally:
                platform.close()

    def test_while_the_database_is_down_it_says_so_and_then_goes_on(self, platform: Platform, make: Make) -> None:
        trends = make()
        with platform.down("engagement_db"):
            for _ in range(3):
                with pytest.raises(DatabaseUnavailable):
                    trends.get(7, None)
        platform.interact(uuid4(), HEAT, "LIKE", ago(1))
        wait_for(lambda: is_there(trends), seconds=BOUND)
        assert weights(trends.get(7, None)) == {HEAT: 1}

    def test_what_redis_has_is_served_while_the_database_is_down(self, platform: Platform, make: Make) -> None:
        platform.interact(uuid4(), HEAT, "LIKE", ago(1))
        make().get(7, None)
        newcomer = make()
        with platform.down("engagement_db"):
            assert weights(newcomer.get(7, None)) == {HEAT: 1}

    def test_a_query_that_is_too_slow_is_not_tried_again_for_a_while_and_others_are(
        self, platform: Platform, make: Make
    ) -> None:
        platform.interact(uuid4(), HEAT, "LIKE", ago(1))
        trends = make(replace(TIMES, slow_pause=3), database_statement_seconds=0.5)
        with platform.locked("engagement_db", "interaction"):
            started = time.monotonic()
            with pytest.raises(DatabaseUnavailable, match="longer than its bound"):
                trends.get(7, None)
            failed = time.monotonic()
            assert failed - started < BOUND
        assert weights(trends.get(8, None)) == {HEAT: 1}
        while time.monotonic() < failed + 1:
            with pytest.raises(DatabaseUnavailable, match="a moment ago"):
                trends.get(7, None)
            time.sleep(0.1)
        wait_for(lambda: is_there(trends), seconds=BOUND)
        assert time.monotonic() > failed + 2.9

    def test_a_column_that_is_missing_is_a_database_that_is_down(self, platform: Platform, make: Make) -> None:
        trends = make()
        platform.sql("engagement_db", 'ALTER TABLE interaction RENAME COLUMN "timestamp" TO at')
        try:
            with pytest.raises(DatabaseUnavailable, match="INTEGRATION"):
                trends.get(7, None)
        finally:
            platform.sql("engagement_db", 'ALTER TABLE interaction RENAME COLUMN at TO "timestamp"')


def is_there(trends: Trends) -> bool:
    try:
        trends.get(7, None)
    except DatabaseUnavailable:
        return False
    return True


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


class TestThreads:
    WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'ml-service'"

    def waiting(self, platform: Platform) -> int:
        """Queries of ours that a lock holds up."""
        [(count,)] = platform.sql("engagement_db", self.WAITING)
        return count

    def test_one_reads_and_the_others_have_what_it_read(
        self, platform: Platform, make: Make, threads: ThreadPoolExecutor
    ) -> None:
        platform.interact(uuid4(), HEAT, "LIKE", ago(1))
        trends = make(database_statement_seconds=BOUND)
        with platform.locked("engagement_db", "interaction"):
            answers = [threads.submit(trends.get, 7, None) for _ in range(8)]
            wait_for(lambda: self.waiting(platform) == 1, seconds=BOUND)
            time.sleep(0.3)  # for a second one to come, if one does
            assert self.waiting(platform) == 1
            assert not any(answer.done() for answer in answers)
        first, *others = [answer.result(BOUND) for answer in answers]
        assert weights(first) == {HEAT: 1}
        assert all(other is first for other in others)

    def test_different_windows_do_not_wait_for_each_other(
        self, platform: Platform, make: Make, threads: ThreadPoolExecutor
    ) -> None:
        trends = make(database_statement_seconds=BOUND)
        with platform.locked("engagement_db", "interaction"):
            answers = [threads.submit(trends.get, window, None) for window in (1, 2, 3)]
            wait_for(lambda: self.waiting(platform) == 3, seconds=BOUND)
        assert [weights(answer.result(BOUND)) for answer in answers] == [{}, {}, {}]

    def test_who_waits_does_so_for_a_bounded_time(
        self, platform: Platform, make: Make, threads: ThreadPoolExecutor
    ) -> None:
        trends = make(replace(TIMES, wait=0.3), database_statement_seconds=BOUND)
        with platform.locked("engagement_db", "interaction"):
            reading = threads.submit(trends.get, 7, None)
            wait_for(lambda: self.waiting(platform) == 1, seconds=BOUND)
            with pytest.raises(DatabaseUnavailable, match=r"no trends within 0\.3 s"):
                trends.get(7, None)
            assert not reading.done()
        assert weights(reading.result(BOUND)) == {}

    def test_those_who_wait_hear_of_the_failure(
        self, platform: Platform, make: Make, threads: ThreadPoolExecutor
    ) -> None:
        trends = make(database_statement_seconds=1)
        with platform.locked("engagement_db", "interaction"):
            answers = [threads.submit(trends.get, 7, None) for _ in range(8)]
            assert all(isinstance(answer.exception(BOUND), DatabaseUnavailable) for answer in answers)

    def test_while_one_reads_again_the_others_have_the_old_at_once(
        self, platform: Platform, make: Make, threads: ThreadPoolExecutor
    ) -> None:
        platform.interact(uuid4(), HEAT, "LIKE", ago(1))
        trends = make(replace(TIMES, life=4), database_statement_seconds=BOUND)
        old = trends.get(7, None)
        time.sleep(4.1)
        with redis.Redis.from_url(platform.redis_url) as store:
            store.flushdb()
        platform.interact(uuid4(), HEAT, "LIKE", ago(1))
        with platform.locked("engagement_db", "interaction"):
            reading = threads.submit(trends.get, 7, None)
            wait_for(lambda: self.waiting(platform) == 1, seconds=BOUND)
            assert trends.get(7, None) is old
            assert not reading.done()
        assert weights(reading.result(BOUND)) == {HEAT: 2}
