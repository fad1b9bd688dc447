"""Messages as strangers write them: Celery's protocol 2 by hand, and what is almost that."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from typing import Any, Final
from uuid import UUID, uuid4

from hypothesis import strategies as st

from shared.contracts import BATCH_TASK, CHUNK_TASK, QUEUE, WORK_QUEUE
from tests.faults.cluster import TITLES
from tests.vectors import VECTORS, written

_ANYTHING: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


def batch_message(job_id: str, users: Iterable[UUID]) -> bytes:
    """A job, as a stranger publishes it."""
    arguments = {"job_id": job_id, "user_ids": [str(user) for user in users], "limit": TITLES}
    return json.dumps(_envelope(QUEUE, BATCH_TASK, [[], arguments, {}])).encode()


def chunk_message(job_id: str, chunk_no: int) -> bytes:
    """A chunk's message, with a delivery tag of its own."""
    return json.dumps(_envelope(WORK_QUEUE, CHUNK_TASK, [[], {"job_id": job_id, "chunk_no": chunk_no}, {}])).encode()


def poison() -> list[tuple[str, bytes]]:
    """Every vector that is no message, on either queue where it is none: the queue and the bytes."""
    dead = [(vector["queue"], written(vector, uuid4()).raw) for vector in VECTORS if vector["expect"] == "dead"]
    return dead + [(WORK_QUEUE, raw) for queue, raw in dead if queue == QUEUE and CHUNK_TASK.encode() not in raw]


def _envelope(queue: str, task: str, body: Any) -> dict[str, Any]:
    return {
        "body": base64.b64encode(json.dumps(body).encode()).decode(),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {"task": task, "id": str(uuid4())},
        "properties": {
            "body_encoding": "base64",
            "delivery_tag": str(uuid4()),
            "delivery_info": {"exchange": "", "routing_key": queue},
        },
    }


@st.composite
def garbage(draw: st.DrawFn) -> bytes:
    """Bytes that are no message: noise, a message with a hole or something else in it, or half a one."""
    kind = draw(st.sampled_from(("noise", "json", "changed", "cut", "body")))
    if kind == "noise":
        return draw(st.binary(max_size=200))
    if kind == "json":
        return json.dumps(draw(_ANYTHING.filter(lambda value: not isinstance(value, dict)))).encode()
    if kind == "cut":
        whole = batch_message(str(uuid4()), [uuid4()])
        return whole[: draw(st.integers(0, len(whole) - 1))]
    envelope = _envelope(QUEUE, "no.such.task", [[], {}, {}])
    if kind == "body":
        envelope["headers"]["task"] = BATCH_TASK
        envelope["body"] = base64.b64encode(json.dumps(draw(_ANYTHING)).encode()).decode()
        return json.dumps(envelope).encode()
    part: dict[str, Any] = draw(st.sampled_from((envelope, envelope["headers"], envelope["properties"])))
    name = draw(st.sampled_from(sorted(part)))
    if draw(st.booleans()):
        del part[name]
    else:
        part[name] = draw(_ANYTHING)
    return json.dumps(envelope).encode()
