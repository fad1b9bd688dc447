"""Writes down what callers were told while things broke, and afterwards compares it with what was promised.

I1  every job that was accepted reaches exactly one terminal state
I2  each of its users has exactly one page of results
I3  the page is what the user gets when nothing is wrong
I4  progress never goes back, nor beyond the total
I5  a terminal state never changes
I6  nothing stays behind: no lease, no chunk, no message
I7  answers are documented ones, and come in time
I8  what broke works again within a stated time
"""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit
from uuid import UUID

from shared.job_states import WITH_RESULTS, JobState
from shared.repositories.chunks import ATTEMPTS
from tests.faults.accepted import Accepted
from tests.faults.bounds import ANSWER
from tests.faults.cluster import TITLES, Cluster
from tests.faults.load import Answer, Request, ask
from tests.faults.report import Row
from tests.platform import wait_for

BATCH: Final = "/api/recommendations/batch"
DOCUMENTED: Final = frozenset({200, 202, 404, 409, 410, 429, 503})
DRAIN_SECONDS: Final = 60.0  # for what is on its way when the faults are over; each test's own bound is lower
_BUSY_CHUNKS: Final = 60
_LEFT_SECONDS: Final = 30.0  # for messages that were delivered twice
_POLL_SECONDS: Final = 0.2
_TO_BE_LATER: Final = frozenset({429, 503})  # these say when to come back


class Witness:
    """A caller of the service. Polls every job it was promised, until the block ends."""

    def __init__(
        self, cluster: Cluster, report: list[Row], *, bound: float = ANSWER, gateway_dies: bool = False
    ) -> None:
        """bound: the longest that an answer may take, in seconds. gateway_dies: then some requests get no answer."""
        self._cluster = cluster
        self._report = report
        self._bound = bound
        self._gateway_dies = gateway_dies
        self._jobs: dict[str, Accepted] = {}
        self._answers: list[Answer] = []
        self._lost: set[str] = set()  # ids of jobs
        self._wrong: list[str] = []  # sentences
        self._stopped = threading.Event()
        self._poller = threading.Thread(target=self._poll, name="witness", daemon=True)

    def __enter__(self) -> Self:
        self._poller.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._poller.join()

    # What a caller does.

    def submit(self, users: Iterable[UUID], *, key: str | None = None, **more: Any) -> Answer:
        """Ask for a job; one that is accepted is watched from here on."""
        users = list(users)
        headers = {"Prefer": "respond-async"} | ({"Idempotency-Key": key} if key else {})
        body = {"user_ids": [str(user) for user in users], "limit": TITLES, **more}
        answer = self.ask(Request("submission", BATCH, "POST", body, headers))
        if answer.status == 202:
            self.promised(answer.body["job_id"], users)
        return answer

    def promised(self, job_id: str, users: Sequence[UUID]) -> None:
        """A job was accepted, over whichever door."""
        self._jobs.setdefault(job_id, Accepted(job_id, users))

    def cancel(self, job_id: str) -> Answer:
        """Ask for a job's end."""
        return self.ask(Request("cancellation", f"/api/jobs/{job_id}/cancel", "POST", {}))

    def look(self, job_id: str) -> Answer:
        """Poll a job that was promised."""
        job = self._jobs[job_id]
        with job.turn:
            answer = self.ask(Request("state", f"/api/jobs/{job_id}"))
            if answer.status == 200:
                job.saw(answer.body)
        return answer

    def ask(self, request: Request) -> Answer:
        """Send any request, and write the answer down."""
        answer = ask(self._cluster.address, request)
        self._answers.append(answer)
        return answer

    @property
    def open_jobs(self) -> int:
        """How many of the jobs were not seen to have ended."""
        return sum(not job.ended for job in list(self._jobs.values()))

    def ends(self) -> Counter[str]:
        """How many jobs were seen to end in which state."""
        return Counter(job.states[-1] for job in list(self._jobs.values()) if job.ended)

    def keep_busy(self, draw: random.Random) -> None:
        """Submit jobs, of users drawn at random, until there is enough to do: with little else to do, the same chunk
        would be at work at each fault."""
        while self._cluster.chunks("waiting") < _BUSY_CHUNKS:
            assert self.submit(draw.sample(self._cluster.users, 200)).status == 202

    def wait_for_end(self, *job_ids: str, seconds: float = DRAIN_SECONDS) -> float:
        """Until these jobs, or all of them, were seen to have ended; how long that took, in seconds."""
        started = time.monotonic()
        watched = [self._jobs[job_id] for job_id in job_ids] or list(self._jobs.values())
        try:
            wait_for(lambda: all(job.ended for job in watched), seconds)
        except AssertionError:
            self._lost |= {job.job_id for job in watched if not job.ended}
        return time.monotonic() - started

    def _poll(self) -> None:
        while not self._stopped.wait(_POLL_SECONDS):
            for job_id, job in list(self._jobs.items()):
                if not job.ended and not self._stopped.is_set():
                    self.look(job_id)

    # What it finds afterwards.

    def check(
        self, fault: str, *, injected: int, recovery: float, bound: float, ends: Mapping[str, int] | None = None
    ) -> None:
        """Wait until everything has ended, and hold what was seen against what was promised: a row in the report.

        recovery: seconds that it took, and may take at most `bound`. ends: how many jobs end in which state; without
        it all are completed.
        """
        self.wait_for_end()
        for job in list(self._jobs.values()):
            self.look(job.job_id)
            self._check_job(job)
        self._check_ends(ends or {JobState.COMPLETED: len(self._jobs)})
        self._check_answers()
        self._check_nothing_stays_behind()
        if recovery > bound:
            self._wrong.append(f"I8: {fault}: well again after {recovery:.1f} s, not {bound:g} s")
        row = Row(
            fault=fault,
            injected=injected,
            accepted=len(self._jobs),
            lost=len(self._lost),
            wrong=len(self._wrong),
            recovery_seconds=recovery,
            answers=len(self._answers),
            slowest_seconds=max((answer.seconds for answer in self._answers), default=0.0),
        )
        self._report.append(row)
        problems = [f"I1: job {job_id} never ended: {self._jobs[job_id]}" for job_id in self._lost] + self._wrong
        assert not problems, "\n".join(problems[:20])

    def check_at_random(self, fault: str, *, injected: int, recovery: float, bound: float) -> None:
        """As `check`, after faults at random moments: chance may hit a chunk as often as it is tried. Few chunks are
        then dead, and exactly their jobs say so.
        """
        self.wait_for_end()
        ends = self.ends()
        dead = self._cluster.platform.sql(
            "jobs_db", "SELECT job_id::text, failures FROM job_chunks WHERE state = 'dead'"
        )
        hit = {job_id for job_id, _ in dead if self._jobs[job_id].states[-1] != JobState.CANCELLED}
        with_errors = ends[JobState.COMPLETED_WITH_ERRORS] + ends[JobState.FAILED]
        name = f"{fault}; {len(hit)} hit thrice" if hit else fault
        self.check(name, injected=injected, recovery=recovery, bound=bound, ends=ends)
        assert with_errors == len(hit), f"{with_errors} jobs have errors, {len(hit)} have dead chunks"
        assert {failures for _, failures in dead} <= {ATTEMPTS}
        assert len(dead) <= injected // 20, "more chunks are dead than chance explains"

    def _check_job(self, job: Accepted) -> None:
        """I1 to I5, of one job."""
        if not job.ended:
            self._lost.add(job.job_id)
            return
        self._wrong += job.broken()
        if job.states[-1] in WITH_RESULTS:
            self._wrong += [f"{sentence}: job {job.job_id}" for sentence in self._wrong_results(job, job.states[-1])]

    def _wrong_results(self, job: Accepted, state: str) -> Iterator[str]:
        pages = list(self._results(job.job_id))
        users = [page["user_id"] for page in pages]
        expected = [str(user) for user in dict.fromkeys(job.users)]
        if state == JobState.COMPLETED and users != expected:
            yield f"I2: {len(users)} pages for {len(expected)} users, {len(set(expected) - set(users))} users without"
        if len(users) != len(set(users)) or len(users) != job.done[-1]:
            yield f"I2: {len(users)} pages, {len(set(users))} users, {job.done[-1]} counted as done"
        different = [page for page in pages if page != self._cluster.undisturbed(UUID(page["user_id"]))]
        if different:
            yield f"I3: {len(different)} pages are not what the user gets, the first: {json.dumps(different[0])[:500]}"

    def _results(self, job_id: str) -> Iterator[dict[str, Any]]:
        connection = http.client.HTTPConnection(urlsplit(self._cluster.address).netloc, timeout=60)
        connection.request("GET", f"/api/jobs/{job_id}/results", headers={"Accept": "application/x-ndjson"})
        with connection.getresponse() as response:
            assert response.status == 200, response.read()
            yield from map(json.loads, response)
        connection.close()

    def _check_ends(self, expected: Mapping[str, int]) -> None:
        if self.ends() != Counter(expected) and not self._lost:
            self._wrong.append(f"I1: jobs ended as {dict(self.ends())}, not {expected}")

    def _check_answers(self) -> None:
        """I7."""
        for answer in self._answers:
            documented = answer.status in DOCUMENTED or (answer.status == 0 and self._gateway_dies)
            if not documented or (answer.status in _TO_BE_LATER and int(answer.headers.get("Retry-After", 0)) < 1):
                self._wrong.append(f"I7: {answer}")
            if answer.seconds > self._bound:
                self._wrong.append(f"I7: later than {self._bound:g} s: {answer}")

    def _check_nothing_stays_behind(self) -> None:
        """I6."""
        if left := self._cluster.left_behind(0 if self._lost else _LEFT_SECONDS):
            self._wrong.append(f"I6: left behind: {left}")
