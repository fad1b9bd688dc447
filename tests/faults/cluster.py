"""The service in processes of its own, with everything that a test may break within reach."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

import psutil
import redis

from demo.databases import load_sample
from demo.movielens import Sample
from demo.process import Process, log_tail
from demo.server import Server, free_port
from demo.servers import Postgres, Valkey
from shared.answers import user_document
from shared.contracts import DEAD_SUFFIX, QUEUE, WORK_QUEUE
from shared.options import Part
from shared.settings import Settings
from tests.faults.load import Request, ask
from tests.faults.proxy import Proxy
from tests.faults.sample import stranger
from tests.platform import DATABASES, Platform, last_look, wait_for

TITLES: Final = 5  # per user, in every job
READY_SECONDS: Final = 60.0

# Times are shorter than by default, so that recovering from a fault takes seconds, not minutes.
SHORT: Final[dict[str, Any]] = {
    "lease_seconds": 6,
    "beat_seconds": 0.5,
    "republish_seconds": 2.0,
    "retry_pause_seconds": 0.2,
    "publish_seconds": 1.0,
    "grace_seconds": 3.0,  # less than a chunk may take, which is three quarters of its lease
    "chunk_users": 10,
    "chunks_in_flight": 8,
    "database_connections": 12,
    "database_checkout_seconds": 1.0,
    "database_connect_seconds": 1.0,
    "database_statement_seconds": 1.5,
    "database_bulk_seconds": 30.0,  # a test may hold a chunk for as long as this
    "redis_timeout_seconds": 0.3,
    "web_concurrency": 1,
    "web_threads": 8,
    "worker_concurrency": 2,
}
_BEHIND_A_PROXY: Final = (*DATABASES, "redis", "broker")


class Cluster:
    """PostgreSQL, Valkey, gunicorn and workers. `to_workers` and `to_gateway` are the proxies on the way from each to
    the four databases, to redis and to broker."""

    def __init__(
        self,
        folder: Path,
        sample: Sample,
        *,
        workers: Sequence[str] = ("a", "b"),
        apart: bool = False,
        **settings: Any,
    ) -> None:
        """Start everything and wait until it is ready. sample: the platform that is served. workers: their names.
        apart: each database, the cache and the broker are on a server of their own. settings: of all processes, where
        they are not the short ones here."""
        self._folder = folder
        self._names = workers
        self._changes = SHORT | settings
        self.workers: dict[str, Process] = {}
        self._worker_changes: dict[str, dict[str, Any]] = {}
        with ExitStack() as started:
            self.postgres = started.enter_context(Postgres(folder / "postgres", durable=False))
            self.valkey = started.enter_context(Valkey(folder / "valkey"))
            others: dict[str, Server] = {}
            if apart:
                for name in DATABASES[:-1]:
                    others[name] = started.enter_context(Postgres(folder / name, durable=False))
                others["redis"] = started.enter_context(Valkey(folder / "redis"))
            self.platform = Platform(self.postgres, self.valkey, folder / "models", apart=others)
            started.callback(self.platform.close)
            load_sample(sample, *(self.platform.urls[name] for name in ("user_db", "catalog_db", "engagement_db")))
            self.platform.train()
            self.users = [user.id for user in sample.users]
            self.to_workers, self.to_gateway = ({n: self._proxy(started, n) for n in _BEHIND_A_PROXY} for _ in range(2))
            self.address = f"http://127.0.0.1:{free_port()}"
            self.settings: Settings = self._settings()
            self._undisturbed = self._compute()
            self.broker = redis.Redis.from_url(self.platform.broker_url, socket_timeout=5)
            started.callback(self.broker.close)
            started.callback(self._stop_processes)
            self.start_gateway()
            for name in workers:
                self.start_worker(name)
            self.wait_until_ready()
            self._started = started.pop_all()

    def close(self) -> None:
        """Stop everything."""
        self._started.close()

    def _stop_processes(self) -> None:
        for process in (*self.workers.values(), self.gateway):
            process.kill()

    def undisturbed(self, user: UUID) -> dict[str, Any]:
        """The page that this user gets from a job when nothing is wrong, as callers see it."""
        known = self._undisturbed.get(user)
        return known or self._undisturbed[stranger(0)] | {"user_id": str(user)}

    # Processes.

    def start_worker(self, name: str, **changes: Any) -> Process:
        """Start a worker, also anew after its end; changes: of its settings, until the next start."""
        self._worker_changes[name] = changes
        worker = self._process(_log(name), self.to_workers, "worker", "run", "--name", f"{name}@%h", **changes)
        self.workers[name] = worker
        return worker

    def restart_workers(self, **changes: Any) -> None:
        """Stop every worker in order, start it again with other settings, and wait until all is ready."""
        for name, worker in self.workers.items():
            worker.stop()
            self.start_worker(name, **changes)
        self.wait_until_ready()

    def start_gateway(self, **changes: Any) -> None:
        """Start the gateway, also anew after its end; changes: of its settings, until the next start."""
        self._gateway_changes = changes
        command = ("gunicorn", "-c", "gateway/gunicorn.conf.py", "gateway.app:create_app()")
        self.gateway = self._process("gateway", self.to_gateway, *command, **changes)

    def restart_gateway(self, **changes: Any) -> None:
        """Stop the gateway in order, start it again with other settings, and wait until it is ready."""
        self.gateway.stop()
        self.start_gateway(**changes)
        self.wait_until_ready()

    def pool(self, name: str) -> list[psutil.Process]:
        """The processes of a worker that do the work; waits until there is one."""
        first, found = psutil.Process(self.workers[name].pid), list[psutil.Process]()
        wait_for(lambda: bool(found or found.extend(first.children()) or found), READY_SECONDS)
        return found

    def readiness(self) -> dict[str, Any]:
        """What /health/ready says; nothing is ready without an answer."""
        answer = ask(self.address, Request("readiness", "/health/ready"))
        return answer.body if answer.status in (200, 503) else {"status": "unavailable", "checks": {}}

    def wait_until_ready(self) -> None:
        """Until the gateway says so, and every worker has been heard of from now on."""
        try:
            wait_for(lambda: self.readiness()["status"] == "ready", READY_SECONDS)
        except AssertionError as error:
            logs = "\n".join(log_tail(self._folder / f"{name}.log") for name in ("gateway", *map(_log, self.workers)))
            raise AssertionError(f"the service is not ready\n{logs}") from error
        [(now,)] = self.platform.sql("jobs_db", "SELECT clock_timestamp()")
        alive = "SELECT count(*) FROM workers WHERE seen_at > %s"
        wait_for(lambda: self.platform.sql("jobs_db", alive, now)[0][0] >= len(self.workers), READY_SECONDS)

    def heal(self) -> None:
        """Bring everything back that was broken, stopped or slowed down."""
        for proxy in (*self.to_workers.values(), *self.to_gateway.values()):
            proxy.restore()
        for server in set(self.platform.servers.values()):
            server.resume() if server.running else server.start()
        self.broker.config_set("maxmemory", 0)
        for name in list(self.workers):
            if name not in self._names:
                self.workers.pop(name).stop()
            elif self.workers[name].running and not self._worker_changes[name]:
                self.workers[name].resume()
            else:
                self.workers[name].stop()
                self.start_worker(name)
        if self._gateway_changes:
            self.gateway.stop()
        if not self.gateway.running:
            self.start_gateway()
        self.wait_until_ready()

    def forget_jobs(self) -> None:
        """As if none had ever been submitted."""
        self.platform.sql("jobs_db", "TRUNCATE jobs CASCADE")
        self.broker.flushdb()

    # What can be seen from outside.

    def chunks(self, state: str, job_id: str | None = None) -> int:
        """How many chunks are in a state, of all jobs or one."""
        sql = "SELECT count(*) FROM job_chunks WHERE state = %s AND (%s::uuid IS NULL OR job_id = %s::uuid)"
        return self.platform.sql("jobs_db", sql, state, job_id, job_id)[0][0]

    def messages(self) -> dict[str, int]:
        """What the broker holds at one moment: on each queue, and delivered but not acknowledged."""
        with self.broker.pipeline(transaction=True) as look:  # a message that moves meanwhile is seen once
            look.llen(QUEUE).llen(WORK_QUEUE).hlen("unacked").zcard("unacked_index")
            return dict(zip((QUEUE, WORK_QUEUE, "unacked", "unacked_index"), look.execute(), strict=True))

    def left_behind(self, seconds: float) -> dict[str, int]:
        """What should not be there once everything has ended, by its name: none of it, and I6 holds.

        seconds: how long it may take to go. The look that ends the wait is the answer: a message that a worker could
        not acknowledge, or had only in its memory, may come once more at any later moment, for an instant.
        """
        return last_look(self._there_now, seconds)

    def _there_now(self) -> dict[str, int]:
        in_ledger = """
            SELECT count(*) FILTER (WHERE chunk.state = 'running'),
                   count(*) FILTER (WHERE chunk.state IN ('waiting', 'queued')
                                      AND job.state NOT IN ('cancelled', 'expired'))
              FROM job_chunks AS chunk JOIN jobs AS job USING (job_id)
        """
        [(running, unfinished)] = self.platform.sql("jobs_db", in_ledger)
        everything = self.messages() | {"running chunks": running, "unfinished chunks": unfinished}
        return {what: count for what, count in everything.items() if count}

    def dead_letters(self) -> list[dict[str, Any]]:
        """What was no message, of both queues."""
        return [json.loads(raw) for q in (QUEUE, WORK_QUEUE) for raw in self.broker.lrange(q + DEAD_SUFFIX, 0, -1)]

    @contextlib.contextmanager
    def slow_chunks(self, seconds: float) -> Iterator[None]:
        """Meanwhile each of the three answers that a chunk waits for from engagement_db comes so much later."""
        self.to_workers["engagement_db"].delay(seconds)
        try:
            yield
        finally:
            self.to_workers["engagement_db"].restore()

    @contextlib.contextmanager
    def held_chunks(self) -> Iterator[None]:
        """Meanwhile no chunk gets any further than its claim."""
        with self.platform.locked("engagement_db", "interaction"):
            yield

    def _compute(self) -> dict[UUID, dict[str, Any]]:
        parts = self.platform.parts()
        users = [*self.users, stranger(0)]
        return {u: user_document(u, parts.recommender.page(u, Part(TITLES), fresh=True)) for u in users}

    def _settings(self, **changes: Any) -> Settings:
        return self.platform.settings(**(self._changes | {"web_bind": self.address.removeprefix("http://")} | changes))

    def _process(self, name: str, proxies: Mapping[str, Proxy], *command: str, **changes: Any) -> Process:
        settings = self._changes | {"web_bind": self.address.removeprefix("http://")} | changes
        urls = {f"{name}_url": _behind(self._url(name), proxy.port) for name, proxy in proxies.items()}
        environment = self.platform.environment(**settings, **urls)
        return Process(
            [Path(sys.executable), "-m", *command], log=self._folder / f"{name}.log", environment=environment
        )

    def _proxy(self, started: ExitStack, name: str) -> Proxy:
        return started.enter_context(Proxy(urlsplit(self._url(name)).port or 0))

    def _url(self, name: str) -> str:
        own = {"redis": self.platform.redis_url, "broker": self.platform.broker_url}
        return own.get(name) or self.platform.urls[name]


def _behind(url: str, port: int) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f"{parts.netloc.rpartition(':')[0]}:{port}").geturl()


def _log(worker: str) -> str:
    return f"worker-{worker}"
