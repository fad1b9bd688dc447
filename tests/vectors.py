"""The conformance vectors of docs/messages, as the tests replay them."""

from __future__ import annotations

import base64
import json
import textwrap
from dataclasses import dataclass
from typing import Final
from uuid import UUID, uuid4

from tests.guides import DOCS

VECTORS: Final = json.loads((DOCS / "messages" / "vectors.json").read_text(encoding="utf-8"))["vectors"]


@dataclass(frozen=True)
class Letter:
    """A vector as it was sent."""

    job_id: UUID
    raw: bytes


def written(vector: dict[str, str], user: UUID) -> Letter:
    """A vector with its placeholders filled in."""
    if "raw_base64" in vector:
        return Letter(uuid4(), base64.b64decode(vector["raw_base64"]))
    job_id = uuid4()

    def filled(text: str) -> str:
        text = text.replace("{job_id}", str(job_id)).replace("{user_id}", str(user))
        first, *others = text.split("{uuid}")
        return first + "".join(f"{uuid4()}{other}" for other in others)

    body = base64.b64encode(filled(vector.get("body", "")).encode()).decode()
    raw = (
        filled(vector["raw"]).replace("{body}", body).replace("{body in lines}", r"\r\n".join(textwrap.wrap(body, 76)))
    )
    return Letter(job_id, raw.encode())
