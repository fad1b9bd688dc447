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
from http.client import HTTPException
from typing import Any, NamedTuple

SERVICE = os.environ.get("ML_SERVICE_URL", "http://127.0.0.1:8000").rstrip("/")
LIMIT = int(os.environ.get("LIMIT", "10"))  # titles per user
TIMEOUT = 30  # seconds without a byte from the service
JOB_SECONDS = 600  # longest wait for a job to end
APPEARS_SECONDS = float(os.environ.get("APPEARS_SECONDS", "60"))  # longest wait for a worker to take a message
LISTEN_SECONDS = 5  # before a published job is asked for


class Answer(NamedTuple):
    """What came back."""

    headers: Message
    document: Any  # parsed JSON


class Refused(Exception):
    """The service said no, or gave no answer (status 0)."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


# region: call
def send(method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
    """An open answer, to be read. Tried three times while nobody answers or the service is busy (503): no request of
    these examples does harm when it is sent twice. Raises Refused."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(SERVICE + path, data, headers or {}, method=method)
    request.add_header("Content-Type", "application/json")
    tries = 0
    while True:
        tries += 1
        try:
            return urllib.request.urlopen(request, timeout=TIMEOUT)
        except urllib.error.HTTPError as error:
            if error.code != 503 or tries == 3:
                raise Refused(error.code, problem(error)) from None
            time.sleep(retry_after(error.headers))
        except (OSError, HTTPException) as error:  # refused, cut off or too slow
            if tries == 3:
                raise Refused(0, f"no answer from {SERVICE}: {error}") from None
            time.sleep(2)


def call(method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
    """A whole answer. Raises Refused."""
    with send(method, path, body, headers) as response:
        try:
            return Answer(response.headers, json.load(response))
        except (OSError, HTTPException, ValueError) as error:
            raise Refused(0, f"{SERVICE}{path} answered something else than JSON: {error}") from None


def problem(error: urllib.error.HTTPError) -> str:
    """What the service says is wrong (RFC 9457)."""
    try:
        document = json.load(error)
        return f"{document['status']} {document['type']}: {document['detail']}"
    except (OSError, ValueError, KeyError, TypeError):  # not the service's own words: a proxy's page, say
        return f"{error.code} {error.reason}"


def retry_after(headers: Message) -> float:
    """Seconds to wait before asking again."""
    seconds = headers.get("Retry-After", "")
    return float(seconds) if seconds.isdigit() else 2.0


# end
# region: follow
def follow(path: str, listen: Callable[[float], object] | None = None) -> dict[str, Any]:
    """Ask for a job until it has ended, as often as the service wants to be asked. Raises Refused.

    listen: of a job that was put on the queue, and is unknown until a worker has taken the message. It waits for so
    many seconds, or less when there is news.
    """
    started, said = time.monotonic(), ""
    if listen:
        listen(LISTEN_SECONDS)
    while (waited := time.monotonic() - started) < JOB_SECONDS:
        try:
            headers, job = call("GET", path)
        except Refused as refused:
            if not listen or refused.status != 404:
                raise
            if waited > APPEARS_SECONDS:
                again = f"publish again with JOB_ID={path.rpartition('/')[2]}, which is safe"
                raise Refused(404, f"not taken within {APPEARS_SECONDS:g} s; {again}") from None
            listen(2)
            continue
        if said != (said := f"{job['state']}: {job['done']} of {job['total']} users"):
            print(said, file=sys.stderr)
        if job["state"] not in ("accepted", "running"):
            return job
        (listen or time.sleep)(retry_after(headers))
    raise Refused(0, f"{path} has not ended within {JOB_SECONDS} s; it goes on, ask again later")


# end
# region: results
def results(job: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every user's page, one by one as they arrive. Raises Refused."""
    count = 0
    with send("GET", f"/api/jobs/{job['job_id']}/results", headers={"Accept": "application/x-ndjson"}) as lines:
        try:
            for line in lines:
                yield json.loads(line)
                count += 1
        except (OSError, HTTPException, ValueError) as error:
            raise Refused(0, f"the results broke off after {count} users: {error}") from None
    if count < job["done"]:
        raise Refused(0, f"the results broke off after {count} of {job['done']} users")


# end
def print_results(job: dict[str, Any]) -> None:
    """The best title of every user. Raises Refused, also when some users have none."""
    if job["problem"]:
        print(f"{job['state']}: {job['problem']['detail']}", file=sys.stderr)
    for page in results(job):
        print(page["user_id"], *(scored(best) for best in page["recommendations"][:1]), sep="  ")
    if job["failed"]:
        raise Refused(0, f"{job['failed']} of {job['total']} users failed")


def scored(recommendation: dict[str, Any]) -> str:
    """A title with its score; the catalogue may have no name for it."""
    return f"{recommendation['score']:.4f}  {recommendation['title'] or '(no title)'}"


def run(main: Callable[[list[str]], None], usage: str | None) -> None:
    """Call `main` with the user ids of the command line; `-` reads them from standard input, one to a line."""
    users = sys.argv[1:]
    if users == ["-"]:
        users = sys.stdin.read().split()
    if not users or users[0].startswith("-"):
        print(usage, file=sys.stderr)
        sys.exit(2)
    try:
        main(users)
    except Refused as refused:
        sys.exit(f"error: {refused}")
