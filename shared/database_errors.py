"""psycopg2's errors as ours: what is the database's fault is DatabaseUnavailable, a wrong statement our own defect."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg2
from psycopg2 import errors as pg

from shared.errors import DatabaseUnavailable, SlowStatement


class Broken(DatabaseUnavailable):
    """The connection broke, or leads to the wrong server: a fresh one may do better."""

    def __init__(self, database: str, reason: str) -> None:
        super().__init__(database, reason)
        self.reason = reason


# A table, a column or a right is missing, or a column has another type: theirs to mend, and then it works.
_NOT_AS_ASKED: Final = (
    pg.InsufficientPrivilege,
    pg.InvalidPassword,
    pg.InvalidSchemaName,
    pg.UndefinedTable,
    pg.UndefinedColumn,
    pg.UndefinedFunction,  # an operator or function for a column's type
    pg.DatatypeMismatch,
    pg.CannotCoerce,
    pg.InvalidTextRepresentation,
)
_BROKEN: Final = (
    psycopg2.OperationalError,
    psycopg2.InterfaceError,
    pg.IdleInTransactionSessionTimeout,  # we were stopped in the middle of one
)


@contextmanager
def translated(name: str, *, writes: bool) -> Iterator[None]:
    """Turn psycopg2's errors into ours. A wrong statement is our own defect and leaves as it is.

    name: the database's. writes: it is one we write to; that it is read-only is then its own fault.
    """
    try:
        yield
    except pg.QueryCanceled as error:
        raise SlowStatement(name, "the query took longer than its bound") from error
    except _NOT_AS_ASKED as error:
        raise DatabaseUnavailable(name, f"it is not as docs/INTEGRATION.md asks: {_first_line(error)}") from error
    except _BROKEN as error:
        raise Broken(name, _first_line(error)) from error
    except pg.ReadOnlySqlTransaction as error:
        if not writes:
            raise
        raise Broken(name, f"it is a standby, perhaps only just: {_first_line(error)}") from error
    except psycopg2.DatabaseError as error:
        if type(error) is not psycopg2.DatabaseError:
            raise
        raise Broken(name, _first_line(error)) from error  # libpq's own, of a connection that was cut within a COPY


def _first_line(error: psycopg2.Error) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
