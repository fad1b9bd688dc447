"""workers: who is alive."""

from __future__ import annotations

from shared.repositories.ledger import Ledger


class WorkerRepository:
    """Reads and writes workers."""

    def __init__(self, ledger: Ledger, *, silence_seconds: float) -> None:
        """silence_seconds: a worker not heard of for so long is taken for dead."""
        self._ledger = ledger
        self._silence = silence_seconds

    def beat(self, worker: str) -> None:
        """Note that a worker is alive. It is awake since it last was silent for half of what counts as death, so that
        its judgement of others is sound (see ChunkRepository.end_leases). Raises DatabaseUnavailable."""
        self._ledger.run(
            """
            INSERT INTO workers AS known (name, seen_at) VALUES (%(name)s, now())
            ON CONFLICT (name) DO UPDATE SET seen_at = now(), awake_since = CASE
                WHEN known.seen_at > now() - make_interval(secs => %(silence)s / 2) THEN known.awake_since
                ELSE now() END
            """,
            name=worker,
            silence=self._silence,
        )

    def forget(self) -> int:
        """Remove those not seen for an hour; how many. Raises DatabaseUnavailable."""
        gone = self._ledger.run("DELETE FROM workers WHERE seen_at < now() - interval '1 hour' RETURNING name")
        return len(gone)

    def leave(self, worker: str) -> None:
        """Note that a worker has stopped. Raises DatabaseUnavailable."""
        self._ledger.run("DELETE FROM workers WHERE name = %(name)s", name=worker)

    def alive(self) -> int:
        """How many workers were heard of lately. Raises DatabaseUnavailable."""
        [(count,)] = self._ledger.fetch(
            "SELECT count(*) FROM workers WHERE seen_at > now() - make_interval(secs => %(silence)s)",
            silence=self._silence,
        )
        return int(count)
