"""Messages on the queue as strangers write them: the least that Celery's protocol 2 asks for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final
from uuid import uuid4

from hypothesis import strategies as st

from shared.contracts import BATCH_TASK

ANYTHING: Final = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
"""What JSON can hold."""


def envelope(
    arguments: Mapping[str, Any], *, task: str = BATCH_TASK, embed: Any = None, **headers: Any
) -> dict[str, Any]:
    """A message that holds these arguments, with ids of its own."""
    return {
        "body": json.dumps([[], arguments, embed]),
        "content-type": "application/json",
        "headers": {"task": task, "id": str(uuid4())} | headers,
        "properties": {"delivery_tag": str(uuid4()), "delivery_info": {}},
    }


def message(arguments: Mapping[str, Any], *, task: str = BATCH_TASK) -> bytes:
    """The same as it is on the queue."""
    return json.dumps(envelope(arguments, task=task)).encode()
