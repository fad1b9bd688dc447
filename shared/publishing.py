"""Which of a job's chunks are put on the queue, and when.

Each open job has only a window of its chunks on the queue at once, and a chunk that is done lets the next one on, at
the back. So jobs take turns, and a small one waits behind a few chunks of a large one, not behind all of them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from uuid import UUID

from shared.availability import Availability
from shared.errors import BrokerUnavailable, DatabaseUnavailable
from shared.job_states import ChunkRef
from shared.repositories.outbox import OutboxRepository

Publish = Callable[[Sequence[ChunkRef]], None]
"""Puts chunks on the queue, all of them within a bounded time. Raises BrokerUnavailable."""


class Publishing:
    """Takes chunks from the ledger and puts them on the queue."""

    def __init__(
        self,
        outbox: OutboxRepository,
        publish: Publish,
        *,
        window: int,
        republish_seconds: float,
        pause_seconds: float,
        publish_seconds: float,
    ) -> None:
        """window: chunks of one job on the queue or being worked on at once. republish_seconds: after this a message
        is taken for lost. pause_seconds: before another try when the queue took nothing. publish_seconds: the longest
        that one try takes."""
        self._outbox = outbox
        self._publish = publish
        self._window = window
        self._republish_seconds = republish_seconds
        self._pause_seconds = pause_seconds
        self._broker = Availability("the broker", pause_seconds, attempt_seconds=publish_seconds)

    def next_of(self, job_id: UUID) -> int:
        """Fill one job's window; how many chunks that took: none while the broker is known to be down, since somebody
        may be waiting for this; then it is left to `waiting`. Raises DatabaseUnavailable, BrokerUnavailable."""
        if not self._broker.worth_trying():
            return 0
        return self._put(
            self._outbox.take_waiting(window=self._window, republish_seconds=self._republish_seconds, job_id=job_id)
        )

    def waiting(self) -> int:
        """Fill every open job's window; how many chunks that took. Raises DatabaseUnavailable, BrokerUnavailable."""
        return self._put(self._outbox.take_waiting(window=self._window, republish_seconds=self._republish_seconds))

    def lost(self) -> int:
        """Publish again what the queue seems to have lost; how many chunks. Raises DatabaseUnavailable,
        BrokerUnavailable."""
        return self._put(self._outbox.take_lost(republish_seconds=self._republish_seconds))

    def _put(self, refs: Sequence[ChunkRef]) -> int:
        if refs:
            try:
                self._publish(refs)
                self._broker.answered()
            except BrokerUnavailable as error:
                self._broker.failed(error)
                with contextlib.suppress(DatabaseUnavailable):  # then they are taken for lost, a little later
                    self._outbox.not_published(refs, pause_seconds=self._pause_seconds)
                raise
        return len(refs)
