"""Messages of the fault tests, and what is almost one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any
from uuid import UUID, uuid4

from hypothesis import strategies as st

from shared.contracts import CHUNK_TASK, QUEUE, WORK_QUEUE
from tests.faults.cluster import TITLES
from tests.messages import ANYTHING, envelope, message
from tests.vectors import VECTORS, Letter, written


def batch_message(job_id: str, users: Iterable[UUID]) -> bytes:
    """A job, as a stranger publishes it."""
    arguments = {"job_id": job_id, "user_ids": [str(user) for user in users], "limit": TITLES}
    return message(arguments)


def chunk_message(job_id: str, chunk_no: int) -> bytes:
    """A chunk's message, with a delivery tag of its own."""
    return message({"job_id": job_id, "chunk_no": chunk_no}, task=CHUNK_TASK)


def harmless(user: UUID) -> list[Letter]:
    """The vectors that end a bare Celery worker, too, but that the guard makes a job of, for one user."""
    return [written(vector, user) for vector in VECTORS if re.match(r"a time limit|stamped headers", vector["name"])]


def poison() -> list[tuple[str, bytes]]:
    """Every vector that is no message, on either queue where it is none: the queue and the bytes."""
    dead = [(vector["queue"], written(vector, uuid4()).raw) for vector in VECTORS if vector["expect"] == "dead"]
    return dead + [(WORK_QUEUE, raw) for queue, raw in dead if queue == QUEUE and CHUNK_TASK.encode() not in raw]


@st.composite
def garbage(draw: st.DrawFn) -> bytes:
    """Bytes that are no message: noise, a message with a hole or something else in it, or half a one."""
    kind = draw(st.sampled_from(("noise", "json", "changed", "cut", "body")))
    if kind == "noise":
        return draw(st.binary(max_size=200))
    if kind == "json":
        return json.dumps(draw(ANYTHING.filter(lambda value: not isinstance(value, dict)))).encode()
    if kind == "cut":
        raw = batch_message(str(uuid4()), [uuid4()])
        return raw[: draw(st.integers(0, len(raw) - 1))]
    if kind == "body":
        return json.dumps(envelope({}) | {"body": json.dumps(draw(ANYTHING))}).encode()
    whole = envelope({}, task="no.such.task")
    part: dict[str, Any] = draw(st.sampled_from((whole, whole["headers"], whole["properties"])))
    name = draw(st.sampled_from(sorted(part)))
    if draw(st.booleans()):
        del part[name]
    else:
        part[name] = draw(ANYTHING)
    return json.dumps(whole).encode()
