"""Puts the conformance vectors on the queue, and tells which of them do not become what they should: for a service that
nobody else uses just then.

usage: python replay.py USER_ID [VECTORS]

Needs redis: pip install redis

USER_ID           a user that the service knows
VECTORS           the file (../../messages/vectors.json)
BROKER_URL        the broker, a Redis (redis://127.0.0.1:6379/1)
ML_SERVICE_URL    the service (http://127.0.0.1:8000)
ML_SERVICE_TOKEN  a token or an API key for it (none)
APPEARS_SECONDS   longest wait for a worker to take the messages (60)
"""

from __future__ import annotations

import base64
import json
import re
import sys
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import redis
from console import SERVICE, Failed
from reply import APPEARS_SECONDS, BROKER
from transport import Problem

QUEUE = "recommendations"
VECTORS = Path(__file__).resolve().parents[2] / "messages" / "vectors.json"


# region: expand
def expand(vector: dict[str, Any], job_id: str, user_id: str) -> bytes:
    """The message of a vector, with its placeholders filled in."""
    if "raw_base64" in vector:
        return base64.b64decode(vector["raw_base64"])

    def filled(text: str) -> str:
        text = text.replace("{job_id}", job_id).replace("{user_id}", user_id)
        return re.sub(r"\{uuid\}", lambda _: str(uuid4()), text)

    body = filled(vector.get("body", "")).encode()
    in_lines = base64.encodebytes(body).decode().replace("\n", "\\n")
    raw = filled(vector["raw"]).replace("{body in lines}", in_lines)
    return raw.replace("{body}", base64.b64encode(body).decode()).encode()


# end
def state(job_id: str) -> str:
    """A job's state; "" while there is none. Raises Problem."""
    try:
        return SERVICE.job(job_id)["state"]
    except Problem as problem:
        if problem.status != 404:
            raise
        return ""


def became(expected: str, found: str) -> bool:
    """Whether a job in this state, or none, is what was expected."""
    return {"accepted": found not in ("", "rejected"), "rejected": found == "rejected", "dead": found == ""}[expected]


def main(user_id: str, file: Path) -> int:
    """Returns the exit code. Raises Problem, Failed."""
    vectors = [v for v in json.loads(file.read_text(encoding="utf-8"))["vectors"] if v["queue"] == QUEUE]
    jobs = {vector["name"]: str(uuid4()) for vector in vectors}
    try:
        with redis.Redis.from_url(BROKER, socket_timeout=5, socket_connect_timeout=2) as broker:
            for vector in sorted(vectors, key=lambda vector: vector["expect"] != "dead"):  # the others prove them read
                broker.lpush(QUEUE, expand(vector, jobs[vector["name"]], user_id))
    except redis.RedisError as error:
        raise Failed(f"the broker did not take a message: {error}") from None
    found = dict.fromkeys(jobs, "")
    waited_for = {vector["name"] for vector in vectors if vector["expect"] != "dead"}
    deadline = time.monotonic() + APPEARS_SECONDS
    while waited_for and time.monotonic() < deadline:
        found |= {name: state(jobs[name]) for name in waited_for}
        waited_for = {name for name in waited_for if not found[name]}
    found |= {name: state(jobs[name]) for name in jobs}
    wrong = [vector for vector in vectors if not became(vector["expect"], found[vector["name"]])]
    for vector in wrong:
        print(f"wrong: {vector['name']}: expected {vector['expect']}, found {found[vector['name']] or 'no job'}")
    print(f"{len(vectors) - len(wrong)} of {len(vectors)} messages became what they should")
    return 1 if wrong else 0


if not 2 <= len(sys.argv) <= 3 or sys.argv[1].startswith("-"):
    print(__doc__, file=sys.stderr)
    sys.exit(2)
try:
    sys.exit(main(sys.argv[1], Path(sys.argv[2]) if len(sys.argv) == 3 else VECTORS))
except (Failed, Problem) as error:
    sys.exit(f"error: {error}")
