"""The recommendation service as one class. Beside it, only documents.py, transport.py and the standard library."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from http.client import HTTPException
from typing import Any, Final, Unpack, cast
from urllib.parse import quote, urlencode
from uuid import uuid4

from documents import (
    BatchOptions,
    Failure,
    Id,
    Job,
    JobOptions,
    Page,
    PageOptions,
    PopularOptions,
    PreviewOptions,
    Recommendation,
    SimilarPage,
    UserOptions,
    UserPage,
)
from transport import Answer, Problem, Transport, retry_after

OPEN: Final = ("accepted", "running")  # states of a job that has not ended
BATCH: Final = "/api/recommendations/batch"
POLL_SECONDS: Final = 2.0  # where the service does not say how often to ask


class Recommendations:
    """The service at one address. Every method raises Problem; every request is one that may be sent twice, and is,
    while nobody answers or the service is busy."""

    def __init__(self, base_url: str, token: str | None = None, *, timeout: float = 30.0, retries: int = 3) -> None:
        """token: a token or an API key, where the service asks who you are; timeout: seconds without a byte from the
        service; retries: how often a request is sent again."""
        self._transport = Transport(base_url, token, timeout=timeout, retries=retries)

    # Lists. A POST asks for the same as a GET, and never gets too long for an address.

    def recommend(self, user: Id, *, fresh: bool = False, **options: Unpack[UserOptions]) -> UserPage:
        """A page of a user's titles. fresh: made anew, so that it knows what the user did a moment ago."""
        headers = {"Cache-Control": "no-cache"} if fresh else {}
        return cast(UserPage, self._post(f"/api/recommendations/{_segment(user)}", options, headers).document)

    def preview(self, **options: Unpack[PreviewOptions]) -> Page:
        """A page of what somebody would get who prefers these genres, and likes and dislikes these titles."""
        return cast(Page, self._post("/api/recommendations/preview", options).document)

    def similar(self, title: Id, **options: Unpack[PageOptions]) -> SimilarPage:
        """A page of the titles like this one."""
        return cast(SimilarPage, self._post(f"/api/titles/{_segment(title)}/similar", options).document)

    def popular(self, **options: Unpack[PopularOptions]) -> Page:
        """A page of what is popular: always, or lately."""
        return cast(Page, self._post("/api/titles/popular", options).document)

    def batch(self, users: Iterable[Id], **options: Unpack[BatchOptions]) -> dict[str, UserPage]:
        """The first page of each of a few users."""
        headers = {"Idempotency-Key": str(uuid4())}  # should it become a job, it becomes one
        document = self._post(BATCH, {"user_ids": list(users), **options}, headers).document
        if "results" not in document:
            self.cancel(document["job_id"])
            raise Problem("too many users to answer at once; submit a job", 202)
        return cast(dict[str, UserPage], document["results"])

    # Jobs.

    def submit(self, users: Iterable[Id], *, key: str | None = None, **options: Unpack[JobOptions]) -> Job:
        """Many users as a job. key: the submission's name; the same key and request find the same job."""
        headers = {"Prefer": "respond-async", "Idempotency-Key": key or str(uuid4())}
        return cast(Job, self._post(BATCH, {"user_ids": list(users), **options}, headers).document)

    def job(self, job_id: Id) -> Job:
        """A job as it stands."""
        return cast(Job, self._get(f"/api/jobs/{_segment(job_id)}").document)

    def cancel(self, job_id: Id) -> Job:
        """End a job; one that has ended stays as it is."""
        return cast(Job, self._post(f"/api/jobs/{_segment(job_id)}/cancel", None).document)

    # region: follow
    def follow(
        self,
        job_id: Id,
        *,
        progress: Callable[[Job], object] | None = None,
        wait: Callable[[float], object] = time.sleep,
        seconds: float = 600.0,
    ) -> Job:
        """Ask for a job until it has ended, as often as the service wants to be asked.

        progress: is told of each change. wait: waits for so many seconds, or less when there is news. seconds: longest
        time; the job goes on after that.
        """
        deadline, told = time.monotonic() + seconds, None
        while True:
            headers, job = self._get(f"/api/jobs/{_segment(job_id)}")
            if progress and job != told:
                progress(job)
            if job["state"] not in OPEN:
                return cast(Job, job)
            if time.monotonic() > deadline:
                raise Problem(f"job {job_id} has not ended within {seconds:g} s; it goes on, ask again later")
            told = job
            wait(retry_after(headers) or POLL_SECONDS)

    # end

    # region: results
    def results(self, job: Job) -> Iterator[UserPage]:
        """Every user's page of a job that has ended, one by one as they arrive."""
        path, accept = f"/api/jobs/{job['job_id']}/results", {"Accept": "application/x-ndjson"}
        read = 0
        with self._transport.open(path, accept) as lines:
            try:
                for line in lines:
                    yield json.loads(line)
                    read += 1
            except (OSError, HTTPException, ValueError) as error:
                raise Problem(f"the results broke off after {read} users: {error}") from None
        if read < job["done"]:
            raise Problem(f"the results broke off after {read} of {job['done']} users")

    # end

    def failures(self, job_id: Id) -> Iterator[Failure]:
        """The users whom a job could not do, and why."""
        query: dict[str, object] = {"limit": 1000}
        while True:
            document = self._get(f"/api/jobs/{_segment(job_id)}/failures?{urlencode(query)}").document
            yield from document["failures"]
            if document["next_cursor"] is None:
                return
            query["cursor"] = document["next_cursor"]

    def _get(self, path: str) -> Answer:
        return self._transport.call("GET", path)

    def _post(self, path: str, body: Mapping[str, Any] | None, headers: Mapping[str, str] | None = None) -> Answer:
        return self._transport.call("POST", path, body, headers)


# region: each_title
def each_title(page_at: Callable[[str], Page]) -> Iterator[Recommendation]:
    """A whole list page by page, no title twice, whatever changes meanwhile.

    page_at: asks for the page at a cursor: lambda cursor: service.popular(cursor=cursor, limit=50). A page that is
    `degraded` may be the last one too early: the service could not keep the list.
    """
    cursor: str | None = "*"
    while cursor is not None:
        page = page_at(cursor)
        yield from page["recommendations"]
        cursor = page["next_cursor"]


# end
def _segment(name: Id) -> str:
    return quote(str(name), safe="")
