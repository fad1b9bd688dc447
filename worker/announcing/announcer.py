"""A thread of every worker that tells of jobs' ends: `reply_to` queues itself, callbacks by a few threads beside it.

Any number of workers may do it at once: the ledger gives each announcement to one of them at a time. Whoever is told
must expect to be told twice: a worker may die, or lose the ledger, between telling and noting that it did.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import orjson

from shared.answers import announcement_document
from shared.availability import Availability
from shared.broker import Send
from shared.errors import BrokerUnavailable, JobNotFound, Unavailable
from shared.job_states import Job
from shared.repositories.announcements import Announcement, AnnouncementKind, AnnouncementRepository
from worker.announcing.webhook import CallbackFailed, CallbackRefused, Webhook
from worker.rounds import Rounds

_PAUSE_SECONDS: Final = 1.0  # after a round that found nothing to do
_FIRST_RETRY_SECONDS: Final = 5.0  # doubles with each try
_LONGEST_REPLY_RETRY_SECONDS: Final = 60.0  # it waits for our own broker, and is late by no more than this
_LEASE_MARGIN_SECONDS: Final = 30.0  # on top of the telling: to read the job and to note what came of it
_REPLYING_SECONDS: Final = 0.5  # of a round: then it is the callbacks' turn again
_CALLBACKS_AT_ONCE: Final = 16
_CALLBACKS_PER_RECEIVER: Final = 4  # so that one that hangs leaves the others room

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AnnouncerPolicy:
    """How long, and how often."""

    reply_life_seconds: int  # of a message that nobody fetches
    callback_seconds: float  # bound of one
    callback_attempts: int  # then it is given up


class Announcer:
    """Does rounds until it is stopped."""

    def __init__(
        self,
        announcements: AnnouncementRepository,
        *,
        job: Callable[[UUID], Job],
        reply: Send,
        webhook: Webhook,
        policy: AnnouncerPolicy,
    ) -> None:
        """job: raises JobNotFound, DatabaseUnavailable."""
        self._announcements = announcements
        self._job = job
        self._reply = reply
        self._webhook = webhook
        self._policy = policy
        self._lease = policy.callback_seconds + _LEASE_MARGIN_SECONDS
        self._under_way: Counter[str] = Counter()  # callbacks by receiver
        self._lock = threading.Lock()  # of _under_way
        self._rounds = Rounds("announcer", lambda: self.round() > 0, pause_seconds=_PAUSE_SECONDS)
        self._broker = Availability("the announcer's broker", 0)

    def start(self) -> None:
        """Begin."""
        self._rounds.start()

    def stop(self) -> None:
        """End; does not wait for what is under way. What that leaves undone, another worker does."""
        self._rounds.stop()

    def round(self) -> int:
        """Begin the callbacks that are due, as far as there is room, and send the replies that are; how many that was.
        Raises DatabaseUnavailable."""
        return self._begin_callbacks() + self._send_replies()

    def _send_replies(self) -> int:
        sent = 0
        until = time.monotonic() + _REPLYING_SECONDS
        while time.monotonic() < until:
            announcement = self._announcements.take(AnnouncementKind.REPLY, lease_seconds=self._lease)
            if announcement is None:
                break
            sent += self._send_reply(announcement)
        return sent

    def _send_reply(self, announcement: Announcement) -> bool:
        try:
            self._reply(announcement.address, self._document(announcement), self._policy.reply_life_seconds)
        except BrokerUnavailable as error:
            self._broker.failed(error)
            pause = min(_backoff(announcement), _LONGEST_REPLY_RETRY_SECONDS)
            self._announcements.failed(announcement, str(error), pause_seconds=pause)
            return False
        except JobNotFound:  # cleaned away meanwhile, and the announcement with it
            return True
        self._broker.answered()
        self._announcements.delivered(announcement)
        return True

    def _begin_callbacks(self) -> int:
        begun = 0
        while (announcement := self._take_callback()) is not None:
            threading.Thread(target=self._call_back, args=[announcement], name="callback", daemon=True).start()
            begun += 1
        return begun

    def _take_callback(self) -> Announcement | None:
        with self._lock:
            if self._under_way.total() >= _CALLBACKS_AT_ONCE:
                return None
            busy = [receiver for receiver, count in self._under_way.items() if count >= _CALLBACKS_PER_RECEIVER]
        announcement = self._announcements.take(AnnouncementKind.CALLBACK, lease_seconds=self._lease, except_for=busy)
        if announcement is not None:
            with self._lock:
                self._under_way[announcement.receiver] += 1
        return announcement

    def _call_back(self, announcement: Announcement) -> None:
        try:
            self._send_callback(announcement)
        except Unavailable as error:
            _log.warning("%s is tried again when its lease is over: %s", _name(announcement), error)
        except Exception:  # counted as an attempt when it was taken
            _log.exception("%s failed", _name(announcement))
        finally:
            with self._lock:
                self._under_way -= Counter([announcement.receiver])
            self._rounds.wake()

    def _send_callback(self, announcement: Announcement) -> None:
        if announcement.attempt > self._policy.callback_attempts:
            self._give_up(announcement, "the last attempt came to no end")
            return
        try:
            document = self._document(announcement)
            self._webhook.send(announcement.address, str(announcement.job_id), document, datetime.now(UTC))
        except JobNotFound:  # cleaned away meanwhile, and the announcement with it
            return
        except CallbackRefused as error:
            self._give_up(announcement, str(error))
        except CallbackFailed as error:
            if announcement.attempt == self._policy.callback_attempts:
                self._give_up(announcement, str(error))
            else:
                pause = max(_backoff(announcement), error.retry_after)
                _log.info("%s failed, the next try is in %.0f s: %s", _name(announcement), pause, error)
                self._announcements.failed(announcement, str(error), pause_seconds=pause)
        else:
            self._announcements.delivered(announcement)

    def _give_up(self, announcement: Announcement, problem: str) -> None:
        _log.warning("%s is given up: %s", _name(announcement), problem)
        self._announcements.give_up(announcement, problem)

    def _document(self, announcement: Announcement) -> bytes:
        return orjson.dumps(announcement_document(self._job(announcement.job_id)))


def _name(announcement: Announcement) -> str:
    """For the log: paths and queries of callbacks may hold secrets."""
    return f"callback {announcement.attempt} of job {announcement.job_id} to {announcement.receiver}"


def _backoff(announcement: Announcement) -> float:
    """Seconds before the next try; a reply may have had thousands."""
    return _FIRST_RETRY_SECONDS * 2.0 ** min(announcement.attempt - 1, 20)
