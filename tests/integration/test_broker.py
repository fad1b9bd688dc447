"""Putting things on queues: within a bound, whatever is the matter with the broker."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
import redis
from celery import Celery

from shared import broker
from shared.contracts import WORK_QUEUE
from shared.errors import BrokerUnavailable
from shared.job_states import ChunkRef, Order
from shared.settings import Settings
from tests.faults.proxy import Proxy
from tests.platform import Platform

SECONDS, MARGIN = 1.0, 0.5
REPLY = "recommendations.reply.tests"
Act = Callable[[Celery], None]
CHUNKS = [ChunkRef(uuid4(), number) for number in range(200)]


@pytest.fixture
def queues(platform: Platform) -> Iterator[redis.Redis]:
    """The broker's database, seen directly."""
    with redis.Redis.from_url(platform.broker_url) as client:
        yield client


@pytest.fixture
def proxy(platform: Platform) -> Iterator[Proxy]:
    with Proxy(platform.valkey.port) as proxy:
        yield proxy


@pytest.fixture
def app(platform: Platform, proxy: Proxy) -> Celery:
    settings: Settings = platform.settings(broker_url=behind(proxy, platform), publish_seconds=SECONDS)
    return broker.celery_app(settings, "tests")


def behind(proxy: Proxy, platform: Platform) -> str:
    return platform.broker_url.replace(str(platform.valkey.port), str(proxy.port))


def test_chunks_arrive_on_the_services_own_queue_and_leave_no_other_key(app: Celery, queues: redis.Redis) -> None:
    broker.publisher(app)(CHUNKS)
    assert queues.keys() == [WORK_QUEUE.encode()]
    assert queues.llen(WORK_QUEUE) == len(CHUNKS)


PUBLISH, REPLY_TO, ASK = (
    pytest.param(lambda app: broker.publisher(app)(CHUNKS), id="publishing"),
    pytest.param(lambda app: broker.reply_sender(app)(REPLY, b"{}", 60), id="replying"),
    pytest.param(broker.ping, id="asking"),
)
DEAD, STALLED, HALF_OPEN, SLOW, IN_DROPS = (
    pytest.param(Proxy.cut, id="dead"),
    pytest.param(Proxy.swallow, id="stalled"),
    pytest.param(Proxy.forget, id="half-open"),
    pytest.param(lambda proxy: proxy.delay(0.3), id="slow"),
    pytest.param(lambda proxy: proxy.throttle(20), id="in drops"),
)


class TestTheBound:
    def check(self, app: Celery, proxy: Proxy, act: Act, trouble: Callable[[Proxy], None]) -> None:
        trouble(proxy)
        at = time.monotonic()
        with contextlib.suppress(BrokerUnavailable):
            act(app)
        assert time.monotonic() - at < SECONDS + MARGIN
        proxy.restore()
        act(app)

    @pytest.mark.parametrize("act", [PUBLISH, ASK])
    @pytest.mark.parametrize("trouble", [DEAD, STALLED, SLOW, IN_DROPS])
    def test_holds_for_the_first_connection(
        self, app: Celery, proxy: Proxy, act: Act, trouble: Callable[[Proxy], None]
    ) -> None:
        self.check(app, proxy, act, trouble)

    @pytest.mark.parametrize("act", [PUBLISH, REPLY_TO])
    @pytest.mark.parametrize("trouble", [DEAD, STALLED, HALF_OPEN, SLOW])
    def test_holds_for_a_connection_that_is_kept(
        self, app: Celery, proxy: Proxy, act: Act, trouble: Callable[[Proxy], None]
    ) -> None:
        act(app)
        self.check(app, proxy, act, trouble)


def test_of_many_submissions_one_waits_for_a_silent_broker_and_all_are_published_when_it_is_back(
    platform: Platform, proxy: Proxy, queues: redis.Redis
) -> None:
    parts = platform.parts(broker_url=behind(proxy, platform), publish_seconds=SECONDS, retry_pause_seconds=60)
    proxy.swallow()
    seconds = []
    for _ in range(5):
        at = time.monotonic()
        parts.jobs.submit(Order([uuid4()], 1))
        seconds.append(time.monotonic() - at)
    assert seconds[0] > SECONDS
    assert sum(seconds[1:]) < SECONDS
    proxy.restore()
    platform.sql("jobs_db", "UPDATE job_chunks SET due_at = now()")  # the pause is over
    assert parts.upkeep.round("a worker") == {"chunks published": 4, "chunks published again": 1}
    parts.jobs.submit(Order([uuid4()], 1))  # known to be back
    assert queues.llen(WORK_QUEUE) == 6


def test_a_connection_that_is_reset_while_the_queue_is_declared_is_made_anew_and_everything_is_published(
    app: Celery, proxy: Proxy, queues: redis.Redis
) -> None:
    declares = proxy.hold(b"LLEN")
    with ThreadPoolExecutor() as thread:
        publishing = thread.submit(broker.publisher(app), CHUNKS)
        assert declares.wait(SECONDS)
        proxy.reset()
        proxy.restore()
        publishing.result(SECONDS + MARGIN)
    assert queues.llen(WORK_QUEUE) == len(CHUNKS)


def test_a_broker_that_resets_connections_again_and_again_is_unavailable_at_worst(
    app: Celery, proxy: Proxy, queues: redis.Redis
) -> None:
    publish = broker.publisher(app)
    until = time.monotonic() + 3.0

    def publish_again_and_again() -> int:
        published = 0
        while time.monotonic() < until:
            with contextlib.suppress(BrokerUnavailable):
                publish(CHUNKS[:1])
                published += 1
        return published

    with ThreadPoolExecutor() as threads:
        publishing = [threads.submit(publish_again_and_again) for _ in range(8)]
        while time.monotonic() < until:
            proxy.reset()
            time.sleep(0.05)
        published = sum(thread.result(SECONDS + MARGIN) for thread in publishing)
    assert queues.llen(WORK_QUEUE) >= published > 0


def test_a_broker_without_memory_refuses_and_takes_again_what_it_has_room_for(app: Celery, queues: redis.Redis) -> None:
    publish = broker.publisher(app)
    queues.config_set("maxmemory", 1)
    try:
        with pytest.raises(BrokerUnavailable):
            publish(CHUNKS)
    finally:
        queues.config_set("maxmemory", 0)
    publish(CHUNKS)


class TestDocuments:
    def test_a_reply_is_the_bytes_as_they_are_and_expires(self, app: Celery, queues: redis.Redis) -> None:
        broker.reply_sender(app)(REPLY, b'{"type": "job.completed"}', 60)
        assert queues.lrange(REPLY, 0, -1) == [b'{"type": "job.completed"}']
        assert 0 < queues.ttl(REPLY) <= 60

    def test_a_reply_queue_that_nobody_reads_keeps_the_newest_ten_thousand(
        self, app: Celery, queues: redis.Redis
    ) -> None:
        queues.lpush(REPLY, *range(10_005))
        broker.reply_sender(app)(REPLY, b"newest", 60)
        assert queues.llen(REPLY) == 10_000
        assert queues.lindex(REPLY, 0) == b"newest"

    def test_dead_letters_are_as_many_as_are_asked_for(self, app: Celery, queues: redis.Redis) -> None:
        put: Any = broker.dead_letter_sender(app, most=3)
        for number in range(5):
            put("recommendations.dead", b"%d" % number, 60)
        assert queues.lrange("recommendations.dead", 0, -1) == [b"4", b"3", b"2"]
        assert 0 < queues.ttl("recommendations.dead") <= 60
