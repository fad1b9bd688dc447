"""One connection to PostgreSQL, with an end to every wait on it. Part of shared/databases.py."""

from __future__ import annotations

import select
import time
from collections.abc import Mapping
from typing import Any

from psycopg2 import extensions

from shared import deadline
from shared.errors import DatabaseUnavailable

Parameters = Mapping[str, Any]
Row = tuple[Any, ...]

GRACE_SECONDS = 0.25  # the server's own timeout comes first, so that it cancels the query and the connection lives


class OutOfTime(DatabaseUnavailable):
    """Who asked has waited long enough; that tells nothing of the database."""

    def __init__(self, database: str) -> None:
        super().__init__(database, "no answer within RESPONSE_SECONDS, with all that came before")


class Session:
    """One connection, for as long as a checkout lasts."""

    def __init__(self, connection: extensions.connection, name: str) -> None:
        self._connection = connection
        self._name = name
        self.used_at = time.monotonic()

    def run(self, sql: str, parameters: Parameters | None = None, *, seconds: float) -> list[Row]:
        """Run one statement within `seconds` and return its rows, none for a statement without any."""
        self.send(sql, parameters)
        return self.receive(seconds)

    def send(self, sql: str, parameters: Parameters | None = None) -> None:
        """Have one statement begun. The connection is `broken` until its rows are received."""
        self._sent_at = time.monotonic()
        self._cursor = self._connection.cursor()
        self._cursor.execute(sql, parameters)

    def receive(self, seconds: float) -> list[Row]:
        """The rows of the statement that was sent, `seconds` after that at the latest."""
        with self._cursor as cursor:
            wait(self._connection, seconds, self._name, since=self._sent_at)
            self.used_at = time.monotonic()
            return cursor.fetchall() if cursor.description else []

    @property
    def broken(self) -> bool:
        """True when the connection can't be used again: closed, cut off, or still busy with an abandoned query."""
        return bool(self._connection.closed) or self._connection.isexecuting()

    @property
    def idle(self) -> bool:
        """True when no transaction is open."""
        status = self._connection.info.transaction_status
        return bool(status == extensions.TRANSACTION_STATUS_IDLE)

    def close(self) -> None:
        """Give the connection back to the operating system; never raises, never waits."""
        self._connection.close()


def wait(connection: extensions.connection, seconds: float, name: str, *, since: float) -> None:
    """Poll an asynchronous connection until what it is doing is done. since: when it began, by the monotonic clock.

    Raises DatabaseUnavailable `seconds` after that, with the connection closed: its answer, should it still come, must
    not be taken for another's. Who comes later finds an answer that is there. Raises OutOfTime, likewise, when the
    answer that it is for is due before.
    """
    own, due = max(time.monotonic(), since + seconds) + GRACE_SECONDS, deadline.due()
    while (state := connection.poll()) != extensions.POLL_OK:
        poller = select.poll()  # a new one each time: while it connects, the socket may become another
        poller.register(connection.fileno(), select.POLLIN if state == extensions.POLL_READ else select.POLLOUT)
        remaining = min(own, due) - time.monotonic()
        if remaining <= 0 or not poller.poll(remaining * 1000):
            connection.close()
            if due < own:
                raise OutOfTime(name)
            raise DatabaseUnavailable(name, f"no answer within {seconds:g} s")
