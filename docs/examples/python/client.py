"""What the examples share: a request, following a job, reading its results. Only the standard library."""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from email.message import Message
from typing import Any, NamedTuple

SERVICE = os.environ.get("ML_SERVICE_URL", "http://127.0.0.1:8000").rstrip("/")
LIMIT = int(os.environ.get("LIMIT", "10"))  # titles per user
TIMEOUT = 30  # seconds without a byte from the service
JOB_SECONDS = 600  # longest wait for a job
APPEARS_SECONDS = 30  # longest wait for a worker to take a message


class Answer(NamedTuple):
    """What came back."""

    headers: Message
    document: Any  # parsed JSON


class Refused(Exception):
    """The service said no, or nothing (status 0)."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


# region: call
def send(method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
    """The open answer to a request. Tried three times while nobody answers or the service is busy: no request of these
    examples does harm when it is sent twice. Raises Refused."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(SERVICE + path, data, headers or {}, method=method)
    if data is not None:
        request.add_header("Content-Type", "application/json")
    for tries_left in (2, 1, 0):
        try:
            return urllib.request.urlopen(request, timeout=TIMEOUT)
        except urllib.error.HTTPError as error:
            if error.code != 503 or not tries_left:
                raise Refused(error.code, _problem(error)) from None
            time.sleep(retry_after(error.headers))
        except OSError as error:  # refused, cut off or too slow
            if not tries_left:
                raise Refused(0, f"no answer from {SERVICE}: {error}") from None
            time.sleep(2)


def call(method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
    """The whole answer to a request. Raises Refused."""
    with send(method, path, body, headers) as response:
        return Answer(response.headers, json.load(response))


def _problem(error: urllib.error.HTTPError) -> str:
    """What the service says is wrong (RFC 9457)."""
    try:
        document = json.load(error)
        return f"{document['status']} {document['type']}: {document['detail']}"
    except (OSError, ValueError, KeyError, TypeError):  # not the service's own answer: a proxy's page, say
        return f"{error.code} {error.reason}"


# end
def retry_after(headers: Message) -> float:
    """Seconds to wait before asking again."""
    wait = headers.get("Retry-After", "")
    return float(wait) if wait.isdigit() else 2.0


# region: follow
def follow(path: str, *, appears: bool = True) -> dict[str, Any]:
    """Ask for a job until it has ended, as often as the service says. Raises Refused.

    appears: False when "there is no such job" may mean that no worker has taken the message yet.
    """
    started = time.monotonic()
    while time.monotonic() - started < JOB_SECONDS:
        try:
            headers, job = call("GET", path)
        except Refused as refused:
            if appears or refused.status != 404 or time.monotonic() - started > APPEARS_SECONDS:
                raise
            time.sleep(0.5)
            continue
        appears = True
        print(f"{job['state']}: {job['done']} of {job['total']} users", file=sys.stderr)
        if job["state"] not in ("accepted", "running"):
            return job
        time.sleep(retry_after(headers))
    raise Refused(0, f"{path} has not ended within {JOB_SECONDS} s; it goes on, ask again later")


# end
# region: results
def results(job: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The page of every user who is done, one by one as they arrive. Raises Refused."""
    count = 0
    try:
        with send("GET", f"/api/jobs/{job['job_id']}/results", headers={"Accept": "application/x-ndjson"}) as lines:
            for line in lines:
                yield json.loads(line)
                count += 1
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise Refused(0, f"the results broke off after {count} users: {error}") from None
    if count != job["done"]:
        raise Refused(0, f"the results broke off after {count} of {job['done']} users")


# end
