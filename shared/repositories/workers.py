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
        """Note that a worker is alive, and forget those not seen for an hour. Raises DatabaseUnavailable."""
        with self._ledger.transaction() as transaction:
            transaction.run(
                """
                INSERT INTO workers AS known (name, seen_at) VALUES (%(name)s, now())
                ON CONFLICT (name) DO UPDATE SET seen_at = now(), awake_since = CASE
                    WHEN known.seen_at > now() - make_interval(secs => %(silence)s) THEN known.awake_since
                    ELSE now() END
                """,
                name=worker,
                silence=self._silence,
            )
            transaction.run("DELETE FROM workers WHERE seen_at < now() - interval '1 hour'")

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
