"""What the worker's first process does beside Celery, which passes messages on to the pool's processes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from shared.broker import Send
from shared.callbacks import CallbackPolicy
from shared.errors import JobNotFound, Unavailable
from shared.job_states import ChunkRef
from shared.parts import Parts
from shared.repositories.announcements import AnnouncementRepository
from worker.announcing.announcer import Announcer, AnnouncerPolicy
from worker.announcing.webhook import Webhook
from worker.rounds import Rounds

_log = logging.getLogger(__name__)


class Parent:
    """Beats, looks after jobs, announces their ends, and reports what the pool's processes no longer can."""

    def __init__(self, build: Callable[[], Parts], reply: Send, *, worker: str) -> None:
        """build: makes the parts; called by `start`, after the pool's processes were forked. reply: puts documents on
        `reply_to` queues."""
        self._build = build
        self._reply = reply
        self._worker = worker
        self._parts: Parts | None = None
        self._threads: list[Rounds | Announcer] = []

    def start(self) -> None:
        """Begin."""
        parts = self._parts = self._build()
        pause = parts.settings.beat_seconds

        def beat() -> None:
            parts.workers.beat(self._worker)

        def look_after_jobs() -> None:
            parts.upkeep.round(self._worker)

        self._threads = [
            Rounds("heartbeat", beat, pause_seconds=pause),  # a slow ledger makes the other rounds long, not this one
            Rounds("reconciler", look_after_jobs, pause_seconds=pause),
            _announcer(parts, self._reply),
        ]
        for thread in self._threads:
            thread.start()

    def lost(self, ref: ChunkRef, problem: str) -> None:
        """The process that worked on a chunk died. Does not wait for the ledger."""

        def report() -> None:
            try:
                if self._parts:
                    self._parts.jobs.lost(ref, self._worker, problem)
            except (JobNotFound, Unavailable) as error:
                _log.warning("the ledger does not know of the loss yet, the chunk's lease will end: %s", error)

        threading.Thread(target=report, name="lost chunk", daemon=True).start()

    def give_back(self) -> None:
        """Return every chunk that this worker still holds."""
        try:
            count = self._parts.jobs.release(self._worker) if self._parts else 0
            _log.info("%s chunks were given back", count)
        except Unavailable as error:
            _log.warning("the ledger does not answer, others will notice that this worker is gone: %s", error)

    def stop(self) -> None:
        """Say goodbye, and close every connection."""
        for thread in self._threads:
            thread.stop()
        if self._parts:
            try:
                self._parts.workers.leave(self._worker)
            except Unavailable as error:
                _log.warning("others will notice that this worker is gone: %s", error)
            self._parts.close()


def _announcer(parts: Parts, reply: Send) -> Announcer:
    settings = parts.settings
    policy, secrets = CallbackPolicy.from_settings(settings), settings.callback_secret.get_secret_value().split(",")
    return Announcer(
        AnnouncementRepository(parts.ledger),
        job=parts.jobs.get,
        reply=reply,
        webhook=Webhook(policy, secrets, seconds=settings.callback_seconds),
        policy=AnnouncerPolicy(
            reply_life_seconds=settings.result_seconds,
            callback_seconds=settings.callback_seconds,
            callback_attempts=settings.callback_attempts,
        ),
    )
