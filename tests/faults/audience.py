"""The users of the fault tests: what each gets when all is well, and requests about them."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any, Final
from uuid import UUID

import redis

from demo.movielens import Sample
from shared.job_states import JobState
from tests.faults.accepted import Accepted
from tests.faults.load import Answer, Request, ask
from tests.faults.promises import CACHED, JOB, NEW, RARE, READY, STATE

_KNOWN: Final = 12  # users whose lists are compared
_POLL_SECONDS: Final = 0.1
_YEARS: Final = range(1986, 2011)  # in each of them and the four that follow, more titles are from than a list holds


class Audience:
    """Makes requests, and knows the right answers."""

    def __init__(self, address: str, sample: Sample) -> None:
        """Ask for the right answers, all being well."""
        self._address = address
        users = [user.id for user in sample.users]
        self._known, self._others = users[:_KNOWN], itertools.cycle(users[_KNOWN:])
        self.pages = {
            user: self._asked(self.new(place)).body["recommendations"] for place, user in enumerate(self._known)
        }
        job = self._asked(self.job(0))
        assert [followed.states[-1] for followed in self.followed([job])] == [JobState.COMPLETED]
        self._done: str = job.body["job_id"]

    @property
    def kinds(self) -> Sequence[Callable[[int], Request]]:
        """One of each kind."""
        return self.cached, self.new, self.rare, self.job, self.state, self.ready

    def cached(self, number: int) -> Request:
        """A page as apps ask for it."""
        user = self._known[number % _KNOWN]
        return Request(CACHED, f"/api/recommendations/{user}", about=user)

    def new(self, number: int) -> Request:
        """A page that needs everything."""
        user = self._known[number % _KNOWN]
        return Request(NEW, f"/api/recommendations/{user}", headers={"Cache-Control": "no-cache"}, about=user)

    def rare(self, number: int) -> Request:
        """The end of the list of somebody who did not ask lately, of titles of a few years: of other years each time,
        or all would be shown the same end when all that is known is what is popular."""
        year = _YEARS[number % len(_YEARS)]
        path = f"/api/recommendations/{next(self._others)}?offset=190&year_from={year}&year_to={year + 4}"
        return Request(RARE, path, headers={"Cache-Control": "no-cache"})

    def job(self, number: int) -> Request:
        """A job of three users."""
        users = [self._known[(number + place) % _KNOWN] for place in range(3)]
        body, headers = {"user_ids": [str(user) for user in users]}, {"Prefer": "respond-async"}
        return Request(JOB, "/api/recommendations/batch", "POST", body, headers, about=users)

    def state(self, _: int) -> Request:
        """How a job that is done stands."""
        return Request(STATE, f"/api/jobs/{self._done}")

    def ready(self, _: int) -> Request:
        """How everything is."""
        return Request(READY, "/health/ready")

    def forget_rare_titles(self, redis_url: str) -> None:
        """Let the service have seen no titles lately but those that the known users' first pages speak of."""
        spoken_of = (
            one for page in self.pages.values() for title in page for one in (title, *title["reason"]["history"])
        )
        seen = {UUID(one["media_id"]).bytes for one in spoken_of}
        with redis.Redis.from_url(redis_url) as client:
            rare = [key for key in client.scan_iter("title:*", count=1000) if key[-16:] not in seen]
            client.delete("", *rare)  # there may be none

    def followed(self, answers: Sequence[Answer], seconds: float = 60.0) -> list[Accepted]:
        """Poll the jobs of these answers until they have ended, for so many seconds at most, and then once more."""
        deadline = time.monotonic() + seconds
        jobs = [Accepted(answer.body["job_id"], answer.request.about) for answer in answers]
        for job in jobs:
            self._look(job)
            while not job.ended and time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS)
                self._look(job)
        for job in jobs:
            self._look(job)
        return jobs

    def wrong_results(self, completed: Sequence[Answer]) -> list[Any]:
        """The pages in these jobs' results that are not what their users get."""
        wrong = []
        for answer in completed:
            pages = self._asked(Request("results", f"/api/jobs/{answer.body['job_id']}/results")).body["results"]
            users = [page["user_id"] for page in pages]
            wrong += [page for page in pages if page["recommendations"] != self.pages[UUID(page["user_id"])]]
            wrong += [users] if users != [str(user) for user in answer.request.about] else []
        return wrong

    def _look(self, job: Accepted) -> None:
        job.saw(self._asked(Request(STATE, f"/api/jobs/{job.job_id}")).body)

    def _asked(self, request: Request) -> Answer:
        answer = ask(self._address, request)
        assert answer.status in (200, 202), str(answer)
        return answer
