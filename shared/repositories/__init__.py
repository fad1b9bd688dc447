"""The databases' tables as Python: SQL beside the method that runs it, always for many users or titles at once."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID


def uuid_array(ids: Iterable[UUID]) -> str:
    """Ids as one PostgreSQL array literal, for `%(ids)s::uuid[]`: far cheaper to pass than a parameter per id."""
    return "{" + ",".join([i.hex for i in ids]) + "}"  # a quarter of the time of their usual form
