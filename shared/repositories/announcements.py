"""jobs_db: whom to tell of a job's end, until they have been told. A trigger writes the rows (schema/jobs_db/002.sql).

Each is delivered at least once: it is taken for a while, so that no two workers tell the same receiver at once, and it
goes only after it was delivered. A worker that dies in between leaves it to be taken, and perhaps told, again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from shared.repositories.ledger import Ledger


class AnnouncementKind(StrEnum):
    """How it is told."""

    REPLY = "reply_to"  # over the queue
    CALLBACK = "callback_url"  # over HTTP


@dataclass(frozen=True, slots=True)
class Announcement:
    """One job's end to be told to one receiver, taken by this worker."""

    job_id: UUID
    kind: AnnouncementKind
    address: str  # a queue's name, or a URL
    receiver: str  # who that is: the queue, or the URL's host and port
    attempt: int  # how often it was taken, this time included


class AnnouncementRepository:
    """Reads and writes announcements."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def take(
        self, kind: AnnouncementKind, *, lease_seconds: float, except_for: Sequence[str] = ()
    ) -> Announcement | None:
        """Take the one that has been due for longest, None when there is none; nobody else gets it before the lease is
        over. except_for: receivers that are not to be told now. Raises DatabaseUnavailable."""
        rows = self._ledger.run(
            """
            WITH addressed AS (
                SELECT job_id, address,
                       coalesce(lower(substring(address FROM '://(?:[^/?#]*@)?([^/?#]+)')), address) AS receiver
                  FROM (SELECT job_id, CASE %(kind)s WHEN 'reply_to' THEN reply_to ELSE callback_url END AS address
                          FROM jobs) AS job
            ), due AS (
                SELECT announcement.job_id, announcement.kind, addressed.address, addressed.receiver
                  FROM announcements AS announcement
                  JOIN addressed USING (job_id)
                 WHERE announcement.kind = %(kind)s AND NOT announcement.given_up AND announcement.due_at <= now()
                   AND addressed.receiver <> ALL(%(except_for)s::text[])
                 ORDER BY announcement.due_at
                 LIMIT 1
                   FOR UPDATE OF announcement SKIP LOCKED
            )
            UPDATE announcements AS announcement
               SET attempts = attempts + 1, due_at = now() + make_interval(secs => %(lease)s)
              FROM due
             WHERE announcement.job_id = due.job_id AND announcement.kind = due.kind
            RETURNING announcement.job_id, announcement.kind, due.address, due.receiver, announcement.attempts
            """,
            kind=kind.value,
            lease=lease_seconds,
            except_for=list(except_for),
        )
        if not rows:
            return None
        [(job_id, found, address, receiver, attempt)] = rows
        return Announcement(job_id, AnnouncementKind(found), address, receiver, attempt)

    def delivered(self, announcement: Announcement) -> None:
        """It was told; forget it. Raises DatabaseUnavailable: it may then be told once more."""
        self._ledger.run(
            "DELETE FROM announcements WHERE job_id = %(job_id)s AND kind = %(kind)s",
            job_id=announcement.job_id,
            kind=announcement.kind.value,
        )

    def failed(self, announcement: Announcement, problem: str, *, pause_seconds: float) -> None:
        """It could not be told, and is due again after a pause. Nothing changes when another worker has taken it over
        meanwhile. Raises DatabaseUnavailable."""
        self._note(announcement, problem, pause_seconds=pause_seconds, given_up=False)

    def give_up(self, announcement: Announcement, problem: str) -> None:
        """It will not be told; it is kept, to be seen, for as long as its job. Nothing changes when another worker has
        taken it over meanwhile. Raises DatabaseUnavailable."""
        self._note(announcement, problem, pause_seconds=0, given_up=True)

    def _note(self, announcement: Announcement, problem: str, *, pause_seconds: float, given_up: bool) -> None:
        self._ledger.run(
            """
            UPDATE announcements
               SET problem = %(problem)s, given_up = %(given_up)s,
                   due_at = now() + make_interval(secs => %(pause)s)
             WHERE job_id = %(job_id)s AND kind = %(kind)s AND attempts = %(attempt)s
            """,
            job_id=announcement.job_id,
            kind=announcement.kind.value,
            attempt=announcement.attempt,
            problem=problem,
            pause=pause_seconds,
            given_up=given_up,
        )
