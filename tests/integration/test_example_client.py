"""docs/examples/python/client.py as other programs use it: its types, its patience, and what it makes of problems."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, get_type_hints
from uuid import UUID, uuid4

import pytest
from pydantic import BaseModel

from shared import contracts
from shared import documents as answers
from tests.conftest import Service
from tests.examples import EXAMPLES
from tests.platform import wait_for
from tests.receiver import Answer, Receiver, document, hang_up, pass_on, status

sys.path.append(str(EXAMPLES / "python"))
client, documents, transport = map(importlib.import_module, ("client", "documents", "transport"))
Problem = transport.Problem
NOBODY = str(uuid4())


def recommendations(address: str, **more: Any) -> Any:
    return client.Recommendations(address, **more)


# Its types.


@pytest.mark.parametrize(
    ("options", "contract", "besides"),
    [
        ("UserOptions", contracts.UserPageRequest, set()),
        ("PageOptions", contracts.SimilarRequest, set()),
        ("PopularOptions", contracts.PopularRequest, set()),
        ("PreviewOptions", contracts.PreviewRequest, set()),
        ("JobOptions", contracts.BatchRequest, {"user_ids"}),
    ],
)
def test_its_options_are_those_of_the_contracts(options: str, contract: type[BaseModel], besides: set[str]) -> None:
    assert get_type_hints(getattr(documents, options)).keys() | besides == contract.model_fields.keys()


@pytest.mark.parametrize(
    ("own", "services"),
    [
        ("Cause", answers.CauseDocument),
        ("Reason", answers.ReasonDocument),
        ("Recommendation", answers.RecommendationDocument),
        ("Page", answers.ListDocument),
        ("UserPage", answers.UserPageDocument),
        ("SimilarPage", answers.SimilarDocument),
        ("FieldProblem", answers.FieldDocument),
        ("JobProblem", answers.JobProblemDocument),
        ("Job", answers.JobDocument),
        ("Failure", answers.FailureDocument),
    ],
)
def test_its_documents_have_the_fields_of_the_services(own: str, services: type[Mapping[str, Any]]) -> None:
    assert get_type_hints(getattr(documents, own)).keys() == get_type_hints(services).keys()


# Its patience.


@pytest.mark.parametrize(
    ("answer", "code"), [(status(code), code) for code in (400, 404, 409, 410, 413, 422, 500, 502, 504)]
)
def test_what_would_be_refused_again_is_sent_once(answer: Answer, code: int) -> None:
    with Receiver(answer) as server, pytest.raises(Problem) as refused:
        recommendations(server.url).popular()
    assert (refused.value.status, refused.value.type) == (code, "about:blank")
    assert len(server.calls) == 1


@pytest.mark.parametrize(("answer", "code"), [(status(503), 503), (status(429), 429), (hang_up, 0)])
def test_it_is_sent_again_as_often_as_was_said(answer: Answer, code: int) -> None:
    with Receiver(answer) as server, pytest.raises(Problem) as refused:
        recommendations(server.url, retries=2).popular()
    assert (len(server.calls), refused.value.status) == (3, code)


def test_pauses_get_longer_unless_the_service_says_how_long() -> None:
    moments: list[float] = []

    def note(request: Any, closing: Any) -> None:
        moments.append(time.monotonic())
        status(503, **({"Retry_After": "1"} if len(moments) == 1 else {}))(request, closing)

    with Receiver(note) as server, pytest.raises(Problem):
        recommendations(server.url, retries=2).popular()
    first, second = (after - before for before, after in pairwise(moments))
    assert 1 <= first < 1 + 0.5 + 0.5  # told, and up to half a second; and a slow machine
    assert second < 1 + 0.5  # up to a second


def test_nobody_waits_for_an_hour() -> None:
    with Receiver(status(503, Retry_After="3600")) as server, pytest.raises(Problem, match="503"):
        recommendations(server.url).popular()
    assert len(server.calls) == 1


def test_a_slow_service_is_not_waited_for_longer_than_was_said() -> None:
    with Receiver(lambda request, closing: closing.wait()) as server, pytest.raises(Problem, match="no answer from"):
        recommendations(server.url, timeout=0.2, retries=1).popular()
    assert len(server.calls) == 2


def test_the_same_key_is_sent_again(service: Service) -> None:
    users = [user.id for user in service.sample.users[:2]]
    with Receiver(pass_on(service.url, of_body=0), hang_up, pass_on(service.url)) as lossy:
        lossy_client = recommendations(lossy.url)
        job = lossy_client.submit(users)
        assert lossy_client.follow(job["job_id"])["state"] == "completed"
    keys = [call.headers["Idempotency-Key"] for call in lossy.calls[:3]]
    assert keys == keys[:1] * 3
    assert recommendations(service.url).submit(users, key=keys[0])["job_id"] == job["job_id"]


# Its token.


def test_a_token_is_shown_with_every_request_and_nothing_where_there_is_none() -> None:
    job = {"job_id": NOBODY, "state": "completed", "done": 0}
    for token, shown in (("rk_newsletter_secret", "Bearer rk_newsletter_secret"), (None, None)):
        with Receiver(document(job)) as server:
            ours = recommendations(server.url, token=token)
            ours.popular()
            ours.job(NOBODY)
            with pytest.raises(Problem, match="the results broke off"):  # a job is no list of pages
                list(ours.results({**job, "done": 2}))
        assert [call.headers.get("Authorization") for call in server.calls] == [shown] * 3


# What it makes of problems.


def test_a_problem_has_all_that_the_service_says(service: Service) -> None:
    with pytest.raises(Problem) as refused:
        recommendations(service.url).recommend("nobody", limit=0)
    problem = refused.value
    assert (problem.status, problem.type) == (400, "/problems/invalid-request")
    assert {field["field"] for field in problem.fields} <= {"user_id", "limit"} != set()
    assert UUID(problem.request_id)
    assert str(problem) == f"400 /problems/invalid-request: {problem.detail}"


def test_what_is_not_json_is_a_problem() -> None:
    with Receiver(status(200)) as server, pytest.raises(Problem, match="something else than JSON"):
        recommendations(server.url).popular()
    assert len(server.calls) == 1


# Its lists.


def test_every_option_arrives(service: Service) -> None:
    ours, title = recommendations(service.url), service.sample.titles[3]
    page = ours.similar(title.id, genres_all=list(title.genres[:1]), exclude=[title.id], limit=5, fields=["genres"])
    assert page["media_id"] == str(title.id)
    assert all(title.genres[0] in found["genres"] and len(found) == 1 for found in page["recommendations"])
    assert ours.recommend(NOBODY, limit=1)["strategy"] == "popular"
    wait_for(lambda: ours.recommend(NOBODY, limit=1)["cached"])  # by each process, some moments later
    assert ours.recommend(NOBODY, limit=1, fresh=True)["cached"] is False


def test_no_title_comes_twice_though_the_list_changes_meanwhile(service: Service) -> None:
    ours, user = recommendations(service.url), uuid4()
    before = ours.recommend(user, limit=100)["recommendations"]
    found = []
    for title in client.each_title(lambda cursor: ours.recommend(user, cursor=cursor, limit=20)):
        found.append(title["media_id"])
        if len(found) == 10:  # what was shown is watched
            for media_id in found:
                service.platform.interact(user, UUID(media_id), "WATCH")
            assert ours.recommend(user, fresh=True)["strategy"] != "popular"
    assert len(found) == len(set(found)) == 200
    assert found[:100] == [title["media_id"] for title in before]


def test_an_ended_cursor_is_told(service: Service) -> None:
    with pytest.raises(Problem) as refused:
        recommendations(service.url).popular(cursor="AAAAAAAAAAAAAAAAAAAAAAAAAAA")
    assert (refused.value.status, refused.value.type) == (410, "/problems/cursor-expired")


def test_of_too_many_users_for_a_batch_no_job_is_left(service: Service) -> None:
    with Receiver(pass_on(service.url)) as front, pytest.raises(Problem, match="too many users to answer at once"):
        recommendations(front.url).batch([uuid4() for _ in range(51)])
    [_, cancel] = front.calls
    assert cancel.path.endswith("/cancel")


# Its jobs.


def test_progress_is_told_once_for_each_change(service: Service) -> None:
    states = [{"state": "accepted", "done": 0}, {"state": "running", "done": 0}, {"state": "running", "done": 2}]
    ended = {"state": "completed", "done": 3}
    told: list[Any] = []
    with Receiver(*(document(job) for job in [*states[:2], states[1], states[2], ended])) as server:
        job = recommendations(server.url).follow(NOBODY, progress=told.append, wait=lambda seconds: None)
    assert told == [*states, ended]
    assert job == ended
    assert {call.path for call in server.calls} == {f"/api/jobs/{NOBODY}"}


def test_a_job_that_does_not_end_is_not_followed_for_ever() -> None:
    with (
        Receiver(document({"state": "running"})) as server,
        pytest.raises(Problem, match="it goes on, ask again later"),
    ):
        recommendations(server.url).follow(NOBODY, wait=lambda seconds: None, seconds=0.2)


def test_a_job_is_followed_cancelled_and_read(service: Service) -> None:
    ours, users = recommendations(service.url), [user.id for user in service.sample.users[:600]]
    job = ours.follow(ours.submit(users, limit=1, fields=["media_id"])["job_id"])
    assert [UUID(page["user_id"]) for page in ours.results(job)] == users
    assert list(ours.failures(job["job_id"])) == []
    assert ours.cancel(job["job_id"]) == ours.job(job["job_id"]) == job


def test_failures_are_read_to_the_last(service: Service) -> None:
    first, last = ({"user_id": NOBODY, "detail": detail} for detail in ("first", "last"))
    parts = [{"failures": [first], "next_cursor": "AAE"}, {"failures": [last], "next_cursor": None}]
    with Receiver(*map(document, parts)) as server:
        found = list(recommendations(server.url).failures(NOBODY))
    assert found == [first, last]
    assert [call.path.partition("?")[2] for call in server.calls] == ["limit=1000", "limit=1000&cursor=AAE"]
