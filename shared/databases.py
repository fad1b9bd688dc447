"""Bounded connections to PostgreSQL. The only room that knows psycopg2, beside session.py and database_errors.py.

Every wait has an end that the server need not agree to: queries run on psycopg2's asynchronous connections, which are
polled against a deadline, so that a server that is stopped or cut off holds a request no longer than one that says no.
(`statement_timeout` alone does not help there, nor does TCP's own timeout while the kernel still acknowledges.)
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass

import psycopg2
from psycopg2 import extensions, extras

from shared import deadline
from shared.availability import Availability
from shared.database_errors import Broken, translated
from shared.errors import ConfigurationError, DatabaseUnavailable, PoolExhausted, SlowStatement
from shared.session import GRACE_SECONDS, OutOfTime, Parameters, Row, Session, wait
from shared.stall_guard import Sink, StallGuard

_IDLE_CHECK_SECONDS = 30.0  # a connection unused for longer is asked whether it lives before it is used

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Bounds:
    """How many connections, and how long anything may take, in seconds."""

    connections: int
    checkout: float
    connect: float
    statement: float
    bulk: float
    pause: float

    @property
    def longest(self) -> float:
        """One query of a request, with all that can come before it: waiting for a connection, finding it dead, making
        another."""
        return self.checkout + 2 * (self.connect + GRACE_SECONDS) + self.statement + GRACE_SECONDS


class Database:
    """A pool of connections to one database: at most so many, each wait bounded, broken ones replaced."""

    def __init__(self, name: str, url: str, bounds: Bounds, *, read_only: bool) -> None:
        """name: as in the setting with its address. Raises ConfigurationError for an address that is none."""
        try:
            mode = extensions.parse_dsn(url).get("sslmode", "disable")
        except psycopg2.ProgrammingError:  # which shows the address with its password
            raise ConfigurationError(f"{name.upper()}_URL: not an address of PostgreSQL") from None
        if mode not in ("disable", "verify-full"):
            _log.warning("%s_URL: sslmode=%s does not make sure who answers; only verify-full does", name.upper(), mode)
        self.name = name
        self.bounds = bounds
        self._url = url
        self._read_only = read_only
        self._slots = threading.BoundedSemaphore(bounds.connections)
        self._idle: deque[Session] = deque()
        self._process = os.getpid()
        self._availability = Availability(name, bounds.pause, attempt_seconds=bounds.longest)

    def fetch(self, sql: str, parameters: Parameters | None = None, *, bulk: bool = False) -> list[Row]:
        """One reading statement, all its rows; tried once more on a fresh connection when a kept one broke soon.

        bulk: bound it by the time for chunks and refreshes, not by a request's.

        Raises DatabaseUnavailable, also at once while the database is known to be down; PoolExhausted.
        """
        with self.asked(sql, parameters, bulk=bulk) as rows:
            return rows()

    def ping(self) -> None:
        """Ask the server whether it is there, whatever is known of it. Raises DatabaseUnavailable."""
        with self.asked("SELECT 1", even_if_down=True) as rows:
            rows()

    @contextmanager
    def asked(
        self, sql: str, parameters: Parameters | None = None, *, bulk: bool = False, even_if_down: bool = False
    ) -> Iterator[Callable[[], list[Row]]]:
        """As `fetch`, while the block does something else: what it gets waits for the rows, and raises what `fetch`
        does, whenever that went wrong. It is called at most once. even_if_down: ask whatever is known of the database.
        """
        started, seconds = time.monotonic(), self.bounds.bulk if bulk else self.bounds.statement
        with ExitStack() as lent:

            def send() -> Session:
                session = lent.enter_context(self._lent(bulk=bulk))
                with self._translated():
                    session.send(sql, parameters)
                return session

            def receive(session: Session) -> list[Row]:
                with self._translated():
                    return session.receive(seconds)

            def rows() -> list[Row]:
                with self._noted():
                    try:
                        if isinstance(sent, DatabaseUnavailable):
                            raise sent
                        return receive(sent)
                    except Broken:
                        lent.close()
                        self._drop_idle()  # what broke one, a restart of the server say, broke them all
                        if self._late(started):
                            raise
                        return receive(send())

            sent: Session | DatabaseUnavailable
            try:
                if not even_if_down:
                    self._refuse_while_down()
                sent = send()
            except DatabaseUnavailable as error:
                sent = error
            yield rows

    @contextmanager
    def _noted(self) -> Iterator[None]:
        """Note whether the server answered."""
        try:
            yield
        except SlowStatement:  # it took the trouble to say so
            self._availability.answered()
            raise
        except (PoolExhausted, OutOfTime, _Interrupted, _Refused):  # busy or restarted is not down; nor is not asked
            raise
        except DatabaseUnavailable as error:
            self._availability.failed(error)
            raise
        self._availability.answered()

    def _late(self, started: float) -> bool:
        """Whether it is too late to try again: who asked has waited long enough."""
        return time.monotonic() - started > self.bounds.connect

    def _refuse_while_down(self) -> None:
        if not self._availability.worth_trying():
            raise _Refused(self.name, "it did not answer a moment ago")

    @contextmanager
    def _lent(self, *, bulk: bool) -> Iterator[Session]:
        """A connection on which the server grants a statement its time."""
        with self._checkout() as session:
            if not bulk:
                yield session
                return
            raise_bound = f"SET statement_timeout = {round(self.bounds.bulk * 1000)}"
            session.run(raise_bound, seconds=self.bounds.statement)
            try:
                yield session
            finally:
                if not session.broken:
                    session.run("RESET statement_timeout", seconds=self.bounds.statement)

    def _translated(self) -> AbstractContextManager[None]:
        """psycopg2's errors leave as ours."""
        return translated(self.name, writes=not self._read_only)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A session inside BEGIN ... COMMIT; rolled back when the block raises.

        Only its BEGIN is tried again, when a kept connection broke: after that it may have written. Raises
        DatabaseUnavailable, also at once while the database is known to be down; PoolExhausted.
        """
        self._refuse_while_down()
        started, begun = time.monotonic(), False
        with self._noted():
            for last_try in (False, True):
                try:
                    with self._checkout() as session:
                        session.run("BEGIN", seconds=self.bounds.statement)
                        begun = True
                        self._availability.answered()  # however the block ends
                        with self._rolled_back_on_error(session):
                            yield session
                        session.run("COMMIT", seconds=self.bounds.statement)
                        return
                except Broken as error:
                    self._drop_idle()
                    if begun:
                        raise _Interrupted(self.name, f"a transaction was broken off: {error.reason}") from error
                    if last_try or self._late(started):
                        raise

    @contextmanager
    def exclusively(self, key: int) -> Iterator[bool]:
        """Whether nobody else holds the lock `key` of this database: then it is held for as long as the block lasts,
        or this process, or its connection. Nobody is waited for. Raises DatabaseUnavailable."""
        with self._checkout() as session:
            seconds = self.bounds.statement
            [(taken,)] = session.run("SELECT pg_try_advisory_lock(%(key)s)", {"key": key}, seconds=seconds)
            try:
                yield taken
            finally:
                if taken and not session.broken:
                    with contextlib.suppress(
                        psycopg2.Error, DatabaseUnavailable
                    ):  # closed, then: as good as given back
                        session.run("SELECT pg_advisory_unlock(%(key)s)", {"key": key}, seconds=seconds)

    @contextmanager
    def _rolled_back_on_error(self, session: Session) -> Iterator[None]:
        """So that refusing something does not cost a connection."""
        try:
            yield
        except Exception:
            with contextlib.suppress(psycopg2.Error, DatabaseUnavailable):  # then the connection is closed
                if not session.broken:
                    session.run("ROLLBACK", seconds=self.bounds.statement)
            raise

    def copy(self, sql: str, sink: Sink) -> None:
        """Stream `COPY (...) TO STDOUT` into `sink`, on a connection of its own. For long reads, such as training.

        The whole may take as long as it takes, but no pause may be longer than the bulk bound.
        Raises DatabaseUnavailable.
        """
        with self._translated():
            connection = psycopg2.connect(
                self._url,
                connect_timeout=max(2, round(self.bounds.connect)),  # libpq takes whole seconds, at least 2
                options=self._options(statement_seconds=0),
                application_name="ml-service training",
            )
            try:
                with StallGuard(connection.fileno(), self.bounds.bulk) as guard, connection.cursor() as cursor:
                    cursor.copy_expert(sql, guard.watched(sink), size=1 << 20)
            finally:
                connection.close()

    def close(self) -> None:
        """Close every idle connection."""
        self._drop_idle()

    @contextmanager
    def _checkout(self) -> Iterator[Session]:
        """A connection that is surely returned or closed. psycopg2's errors leave as ours."""
        if self._process != os.getpid():
            raise RuntimeError(f"the pool of {self.name} was made before a fork; make it afterwards")
        left = deadline.left()
        if left <= 0 or not self._slots.acquire(timeout=min(self.bounds.checkout, left)):
            if left < self.bounds.checkout:
                raise OutOfTime(self.name)
            raise PoolExhausted(
                self.name, f"all {self.bounds.connections} connections stayed busy for {self.bounds.checkout:g} s"
            )
        session = None
        try:
            with self._translated():
                session = self._kept() or self._connect()
                yield session
        finally:
            if session is not None:
                if session.broken or not session.idle:
                    session.close()
                else:
                    self._idle.append(session)
            self._slots.release()

    def _kept(self) -> Session | None:
        """The idle connection used last, if it is alive."""
        try:
            session = self._idle.pop()
        except IndexError:
            return None
        if time.monotonic() - session.used_at < _IDLE_CHECK_SECONDS:
            return session
        try:
            session.run("SELECT 1", seconds=self.bounds.connect)
        except (psycopg2.Error, DatabaseUnavailable):
            session.close()
            self._drop_idle()  # the others have been idle for longer; asking each would take too long
            return None
        return session

    def _connect(self) -> Session:
        connection = psycopg2.connect(
            self._url,
            async_=True,
            options=self._options(self.bounds.statement),
            application_name="ml-service",
        )
        try:
            wait(connection, self.bounds.connect, self.name, since=time.monotonic())
            extras.register_uuid(conn_or_curs=connection)  # type: ignore[no-untyped-call]
        except BaseException:
            connection.close()
            raise
        return Session(connection, self.name)

    def _options(self, statement_seconds: float) -> str:
        options = {
            "statement_timeout": round(statement_seconds * 1000),
            "idle_in_transaction_session_timeout": 60_000,
            "timezone": "UTC",
            "default_transaction_read_only": "on" if self._read_only else "off",
        }
        return " ".join(f"-c {name}={value}" for name, value in options.items())

    def _drop_idle(self) -> None:
        while self._idle:
            try:
                self._idle.pop().close()
            except IndexError:  # another thread took the last one
                return


class _Refused(DatabaseUnavailable):
    """It was not even asked, as it is known to be down."""


class _Interrupted(DatabaseUnavailable):
    """The connection broke within a transaction, which is undone; the server may be well."""
