"""What callers see while something is down (OPERATIONS.md): each row with the real thing cut off, silent, slow, away.

Clients ask all the time. Every answer must be a whole one or the one that the table promises, and come within its
bound; once the fault is over all must be whole again within a bound, without a restart of anything of ours; and every
job that was accepted is done, with the right results.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, Final

import pytest

from demo.movielens import Sample
from demo.process import Process
from demo.server import Server
from tests.faults.audience import Audience
from tests.faults.cluster import Cluster
from tests.faults.load import Load, Request, ask, ask_at_once
from tests.faults.promises import CACHED, JOB, NEW, RARE, READY, STATE, Bounds
from tests.faults.proxy import Proxy
from tests.faults.report import Row
from tests.faults.trial import LASTS, Trials
from tests.platform import DATABASES, wait_for

pytestmark = pytest.mark.faults

Fault = Callable[[Proxy], AbstractContextManager[None]]
Mishap = Callable[[Server], AbstractContextManager[None]]

# What is down, and what callers get then of each kind of request that it touches; all else is as ever.
TABLE: Final = {
    "redis": {(CACHED, "anew")},
    "user_db": {(NEW, "collaborative, degraded")},
    "engagement_db": {(NEW, "content, degraded")},
    "catalog_db": {(CACHED, "hybrid, degraded"), (RARE, "503")},  # the titles last seen; none were seen
    "jobs_db": {(JOB, "503"), (STATE, "503")},
    "broker": {(JOB, "202")},
}
AS_EVER: Final = {
    (CACHED, "from the cache"), (NEW, "anew"), (RARE, "anew"), (JOB, "202"), (STATE, "200"), (READY, "200"),
}  # fmt: skip
WRITTEN_TO: Final = ("jobs_db", "redis", "broker")
TOGETHER: Final = {"every database": DATABASES, "redis and broker": ("redis", "broker")}  # as when one server has all
ALL_SHOWN: Final = {"every database": TABLE["catalog_db"] | TABLE["jobs_db"], "redis and broker": TABLE["redis"]}
KNOWN_BY: Final = {"every database": "jobs_db", "redis and broker": "redis"}
TIMES: Final[dict[str, Any]] = {
    "database_connections": 6,  # three for each of the gateway's processes
    "database_checkout_seconds": 0.5,
    "database_connect_seconds": 1.0,
    "database_statement_seconds": 1.0,
    "database_bulk_seconds": 3.0,
    "redis_timeout_seconds": 1.0,
    "retry_pause_seconds": 0.5,
    "catalogue_refresh_seconds": 2.0,
    "lease_seconds": 5,
    "republish_seconds": 1.0,
    "grace_seconds": 5.0,
    "chunk_users": 500,
    "web_concurrency": 2,
    "worker_concurrency": 1,
}
IN_THE_QUEUE: Final = 2.0  # s that a request waits for one of the gateway's threads, half as many again being asked for
QUICK: Final = 0.9  # s that ten requests at once may take; below any wait for what is silent
WORKER_STARTS: Final = 15.0  # s: Python, the libraries, the model, the pool's processes, the first beat


@pytest.fixture(scope="module")
def cluster(movielens: Sample, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("dependencies"), movielens, workers=["a"], apart=True, **TIMES)
    yield cluster
    cluster.close()


@pytest.fixture(scope="module")
def audience(cluster: Cluster, movielens: Sample) -> Audience:
    return Audience(cluster.address, movielens)


@pytest.fixture
def trials(cluster: Cluster, audience: Audience, report: list[Row]) -> Iterator[Trials]:
    yield Trials(cluster, audience, report)
    cluster.heal()


# What may happen on the way to one dependency.


@contextmanager
def cut(proxy: Proxy) -> Iterator[None]:
    """Connections are reset, and new ones refused."""
    proxy.cut()
    yield
    proxy.restore()


@contextmanager
def half_open(proxy: Proxy) -> Iterator[None]:
    """Everything is accepted, and goes nowhere."""
    proxy.swallow()
    yield
    proxy.restore()


@contextmanager
def answers_lost(proxy: Proxy) -> Iterator[None]:
    """What we say arrives, and is done; no answer comes."""
    proxy.swallow(requests=False)
    yield
    proxy.restore()


@contextmanager
def slow(proxy: Proxy) -> Iterator[None]:
    """Each piece of an answer takes longer than anything may."""
    proxy.delay(5.0)
    yield
    proxy.restore()


@contextmanager
def sluggish(proxy: Proxy) -> Iterator[None]:
    """Each piece of an answer takes almost as long as it may."""
    proxy.delay(0.2)
    yield
    proxy.restore()


@contextmanager
def dripping(proxy: Proxy) -> Iterator[None]:
    """Answers never stop coming, and never end."""
    proxy.throttle(200)
    yield
    proxy.restore()


@contextmanager
def resets(proxy: Proxy) -> Iterator[None]:
    """Connections are reset again and again, and new ones welcome."""
    over = threading.Event()

    def again() -> None:
        while not over.wait(0.1):
            proxy.reset()

    thread = threading.Thread(target=again)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


# What may happen to a server with all that is on it.


@contextmanager
def stopped(server: Server) -> Iterator[None]:
    """In order: PostgreSQL's fast shutdown, Valkey's SIGTERM."""
    server.stop()
    yield
    server.start()


@contextmanager
def killed(server: Server) -> Iterator[None]:
    """SIGKILL of every process."""
    server.kill()
    yield
    server.start()


@contextmanager
def standing_still(server: Server) -> Iterator[None]:
    """SIGSTOP of every process: the kernel goes on taking connections and bytes."""
    server.pause()
    yield
    server.resume()


@contextmanager
def restarted(server: Server) -> Iterator[None]:
    """Away for as long as a restart takes."""
    yield
    server.stop()
    server.start()


PATHS: Final[tuple[Fault, ...]] = (cut, half_open, answers_lost, slow, sluggish, dripping, resets)
MISHAPS: Final[tuple[Mishap, ...]] = (stopped, killed, standing_still, restarted)
TOTAL: Final = {cut, half_open, answers_lost, slow, stopped, killed, standing_still}  # nothing gets through


def name(fault: Callable[..., object]) -> str:
    return fault.__name__.replace("_", " ")


def case(down: str, fault: Callable[..., object]) -> Any:
    """A row of the table, with one of its faults."""
    return pytest.param(down, fault, id=f"{down}-{name(fault)}")


@pytest.mark.parametrize(
    ("down", "fault"),
    [
        case(down, fault)
        for down in (*DATABASES, "redis", "broker")
        for fault in PATHS
        if fault is not answers_lost or down in WRITTEN_TO  # to a reader it is as if all was lost
    ],
)
def test_one_of_them_is_down_and_the_others_are_well(
    trials: Trials, audience: Audience, down: str, fault: Fault
) -> None:
    """A proxy between the service and one of the things it leans on does what networks do."""
    total = fault in TOTAL
    if total and down == "catalog_db":
        trials.cluster.restart_gateway()  # it remembers the titles that it has ever read, and by now these may be all
    with trials.trial(f"{down}: {name(fault)}", down, silent=total) as seen, ExitStack() as faults:
        for side in (trials.cluster.to_workers, trials.cluster.to_gateway):
            faults.enter_context(fault(side[down]))
        time.sleep(LASTS)
        if total:
            is_known(trials.cluster, audience, down)
    assert seen >= TABLE[down] or not total


@pytest.mark.parametrize(
    ("down", "mishap"),
    [case(down, mishap) for down in (*DATABASES, "redis", "broker", *TOGETHER) for mishap in MISHAPS],
)
def test_a_server_is_away(trials: Trials, audience: Audience, down: str, mishap: Mishap) -> None:
    """Each of them is on a real server of its own, which goes and comes back; and so do all of a kind at once."""
    total, names = mishap in TOTAL, TOGETHER.get(down, (down,))
    if total and "catalog_db" in names:
        trials.cluster.restart_gateway()  # as above
    with trials.trial(f"{down}: {name(mishap)}", *names, silent=total) as seen, ExitStack() as mishaps:
        for server in {trials.cluster.platform.servers[name] for name in names}:
            mishaps.enter_context(mishap(server))
        time.sleep(LASTS)
        if total:
            is_known(trials.cluster, audience, KNOWN_BY.get(down, down))
    if total:
        assert seen >= (ALL_SHOWN.get(down) or TABLE[down])


def is_known(cluster: Cluster, audience: Audience, down: str) -> None:
    """That it is down is soon known: of many who ask at once, one of each process finds out whether it still is, and no
    other waits. A process that nobody has asked yet may not know the first time."""
    touched = {
        "redis": audience.cached, "catalog_db": audience.rare, "jobs_db": audience.state, "broker": audience.job,
    }  # fmt: skip
    requests = [touched.get(down, audience.new)(number) for number in range(10)]
    for _ in range(3):
        waited = [answer for answer in ask_at_once(cluster.address, requests) if answer.seconds > QUICK]
        if len(waited) <= cluster.settings.web_concurrency:
            return
    raise AssertionError("\n".join(map(str, waited)))


@pytest.mark.parametrize("end", [Process.stop, Process.kill], ids=["SIGTERM", "SIGKILL"])
def test_no_worker_is_there(trials: Trials, audience: Audience, end: Callable[[Process], None]) -> None:
    """Jobs are accepted and wait, readiness says why, and users notice nothing."""
    cluster = trials.cluster
    with trials.trial(f"no worker: {end.__name__}", "worker", recovery=WORKER_STARTS) as seen:
        end(cluster.workers["a"])
        wait_for(lambda: worker_state(cluster) == "down", cluster.settings.silence_seconds + 5)
        time.sleep(LASTS)
        cluster.start_worker("a")
    assert seen == AS_EVER
    assert worker_state(cluster) == "up"


def test_the_gateway_starts_while_every_database_is_down(trials: Trials) -> None:
    """It answers what it can, 503 to the rest, and needs no second start when they are there."""
    cluster = trials.cluster
    databases = [cluster.platform.servers[name] for name in DATABASES]
    for database in databases:
        database.stop()
    cluster.gateway.stop()
    cluster.start_gateway()
    wait_for(lambda: ask(cluster.address, Request("alive", "/health/live")).status == 200)
    with trials.trial("every database: stopped before the start", *DATABASES, "catalogue", "model", well_before=False):
        time.sleep(LASTS)
        assert cluster.readiness()["status"] == "unavailable"
        for database in databases:
            database.start()


def test_more_ask_at_once_than_a_slow_database_has_connections_for(trials: Trials, audience: Audience) -> None:
    """Those who get none in time are told so at once and when to come back; the others are served all the while."""
    cluster = trials.cluster
    to_catalog = cluster.to_gateway["catalog_db"]
    with (
        trials.trial("catalog_db: slow, and a crowd", "catalog_db", queue=IN_THE_QUEUE),
        Load(cluster.address, [audience.rare] * 16) as crowd,
    ):
        to_catalog.delay(0.05)  # so that requests need every connection at once
        wait_for(lambda: to_catalog.connections == cluster.settings.database_connections)
        to_catalog.restore()
        answered = len(crowd.answers)
        wait_for(lambda: len(crowd.answers) > answered + 50)  # the last ones are open by now, too
        audience.forget_rare_titles(cluster.platform.redis_url)
        slow_from = time.monotonic()
        to_catalog.delay(0.4)  # an answer comes in time, a new connection would not
        time.sleep(LASTS)
        to_catalog.restore()
    answers = crowd.since(slow_from)
    assert {answer.status for answer in answers} == {200, 503}
    refused = [answer for answer in answers if answer.status == 503]
    assert {(answer.body["type"], answer.headers["Retry-After"]) for answer in refused} == {("/problems/busy", "1")}
    bound = IN_THE_QUEUE + Bounds(cluster.settings).answer(RARE, frozenset({"catalog_db"}), silent=False)
    assert max(answer.seconds for answer in answers) < bound


def worker_state(cluster: Cluster) -> str:
    return str(cluster.readiness()["checks"]["worker"]["state"])
