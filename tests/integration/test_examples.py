"""docs/examples: every program that asks the gateway is run against it."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest

from demo.server import free_port
from tests.conftest import Service
from tests.examples import (
    EXAMPLES,
    LIMIT,
    PROGRAMS,
    Examples,
    best_of,
    can_run,
    interpreter,
    printed,
    skip_unless_it_runs,
    titles_of,
)
from tests.guides import UUID_PATTERN
from tests.integration.conftest import Guarded
from tests.receiver import Receiver, document, pass_on, status

LANGUAGES = ("python", "javascript", "java")


@pytest.fixture(params=LANGUAGES)
def examples(request: pytest.FixtureRequest, service: Service) -> Examples:
    return Examples.of(request.param, service)


def count_of_jobs(service: Service) -> int:
    [(count,)] = service.platform.sql("jobs_db", "SELECT count(*) FROM jobs")
    return count


class TestExamples:
    def test_one_users_titles_are_printed_with_their_scores(self, service: Service, examples: Examples) -> None:
        user = service.sample.users[7].id
        assert examples.lines("recommend", user) == [f"{user}  hybrid", *titles_of(service, [user])[user]]

    def test_a_batch_prints_the_titles_of_each_user(self, service: Service, examples: Examples) -> None:
        users = [service.sample.users[1].id, uuid4(), service.sample.users[2].id]
        printed = titles_of(service, users)
        strategies = ["hybrid", "popular", "hybrid"]
        expected = [[f"{u}  {s}", *printed[u]] for u, s in zip(users, strategies, strict=True)]
        assert examples.lines("batch", *users) == [line for lines in expected for line in lines]

    def test_a_batch_of_too_many_users_says_so(self, service: Service, examples: Examples) -> None:
        done = examples.run("batch", *(user.id for user in service.sample.users[:51]))
        assert (done.returncode, done.stdout) == (1, "")
        assert "too many users to answer at once" in done.stderr

    def test_a_job_prints_the_best_title_of_every_user(self, service: Service, examples: Examples) -> None:
        users = [user.id for user in service.sample.users]
        assert examples.lines("job", "-", stdin="\n".join(map(str, users))) == best_of(service, users)

    def test_a_job_submitted_twice_under_one_name_is_one_job(self, service: Service, examples: Examples) -> None:
        users = [user.id for user in service.sample.users[:2]]
        key = str(uuid4())
        runs = [examples.run("job", *users, IDEMPOTENCY_KEY=key) for _ in range(2)]
        assert [run.stdout.splitlines() for run in runs] == [best_of(service, users)] * 2
        [first, second] = [re.search(rf"job ({UUID_PATTERN}), submitted as {key}", run.stderr) for run in runs]
        assert first and second and first[1] == second[1]

    def test_filtered_titles_are_printed_with_what_they_are_owed_to(self, service: Service, examples: Examples) -> None:
        user = service.sample.users[7].id
        page = service.client.get(f"/api/recommendations/{user}?genres_any=Comedy,Sci-Fi&limit={LIMIT}").body
        expected = []
        for line, title in zip(printed(page), page["recommendations"], strict=True):
            causes = [f"{cause['share']:.4f}  {cause['title']}" for cause in title["reason"]["history"]]
            assert causes
            expected += [line, *(f"{'':8}{more}" for more in (title["reason"]["text"], *causes))]
        assert examples.lines("filtered", user, "Comedy", "Sci-Fi") == expected

    def test_titles_like_one_are_printed(self, service: Service, examples: Examples) -> None:
        title = service.sample.titles[3].id
        page = service.client.get(f"/api/titles/{title}/similar?limit={LIMIT}").body
        assert examples.lines("similar", title) == printed(page)
        assert page["strategy"] == "hybrid"

    def test_what_is_popular_lately_is_printed(self, service: Service, examples: Examples) -> None:
        page = service.client.get(f"/api/titles/popular?half_life_days=90&genres_any=Horror&limit={LIMIT}").body
        assert examples.lines("popular", "Horror") == printed(page)
        assert {title["source"] for title in page["recommendations"]} == {"trending"}

    def test_somebody_who_signs_up_is_shown_titles_and_why(self, service: Service, examples: Examples) -> None:
        liked = service.sample.titles[3]
        lines = examples.lines("preview", "Comedy,Horror", liked.id)
        assert len(lines) == LIMIT
        assert all(line.endswith(f"  (Because you liked {liked.title})") for line in lines)

    def test_a_whole_list_is_printed_page_by_page(self, service: Service, examples: Examples) -> None:
        user, path = service.sample.users[9].id, "/api/recommendations/{}?limit=100&offset={}"
        pages = [service.client.get(path.format(user, offset)).body for offset in (0, 100)]
        assert examples.lines("browse", user, LIMIT="30") == [line for page in pages for line in printed(page)]
        assert pages[1]["count"] == 100

    @pytest.mark.parametrize("program", PROGRAMS)
    def test_what_the_service_refuses_ends_with_its_own_words(self, examples: Examples, program: str) -> None:
        words, reason = PROGRAMS[program]
        done = examples.run(program, *words)
        assert (done.returncode, done.stdout) == (1, "")
        assert f"error: 400 /problems/invalid-request: {reason}" in done.stderr

    def test_a_busy_service_is_asked_again_when_it_says(self, service: Service, examples: Examples) -> None:
        user = service.sample.users[7].id
        with Receiver(status(503, Retry_After="1"), status(429, Retry_After="1"), pass_on(service.url)) as busy:
            began = time.monotonic()
            lines = examples.lines("recommend", user, ML_SERVICE_URL=busy.url)
            assert time.monotonic() - began >= 2
        assert lines == [f"{user}  hybrid", *titles_of(service, [user])[user]]
        assert len(busy.calls) == 3

    def test_a_job_that_was_taken_before_the_answer_got_lost_is_submitted_once(
        self, service: Service, examples: Examples
    ) -> None:
        users = [user.id for user in service.sample.users[:2]]
        before = count_of_jobs(service)
        with Receiver(pass_on(service.url, of_body=0.5), pass_on(service.url)) as lossy:
            assert examples.lines("job", *users, ML_SERVICE_URL=lossy.url) == best_of(service, users)
        assert [call.path for call in lossy.calls[:2]] == ["/api/recommendations/batch"] * 2
        assert count_of_jobs(service) == before + 1

    def test_a_jobs_progress_is_told(self, service: Service, examples: Examples) -> None:
        users = [user.id for user in service.sample.users[:3]]
        states = [document({"state": state, "done": n, "total": 3}) for state, n in (("accepted", 0), ("running", 2))]
        with Receiver(pass_on(service.url), *states, pass_on(service.url)) as front:
            done = examples.run("job", *users, ML_SERVICE_URL=front.url)
        assert done.stdout.splitlines() == best_of(service, users), done.stderr
        told = re.findall(r"^(\w+): (\d) of 3 users$", done.stderr, re.MULTILINE)
        assert (told[:2], told[-1]) == ([("accepted", "0"), ("running", "2")], ("completed", "3"))

    def test_results_that_break_off_are_not_taken_for_all(self, service: Service, examples: Examples) -> None:
        users = [user.id for user in service.sample.users[:3]]

        def cut(request: Any, closing: threading.Event) -> None:
            share = 0.5 if request.path.endswith("/results") else 1
            pass_on(service.url, of_body=share)(request, closing)

        with Receiver(cut) as front:
            done = examples.run("job", *users, ML_SERVICE_URL=front.url)
        found = re.search(r"^error: the results broke off after ([01]) ", done.stderr, re.MULTILINE)
        assert found and done.returncode == 1, done.stderr
        assert done.stdout.splitlines() == best_of(service, users[: int(found[1])])

    def test_without_users_the_usage_is_shown(self, examples: Examples) -> None:
        for program in PROGRAMS:
            done = examples.run(program)
            assert (done.returncode, done.stdout) == (2, ""), program
            assert "usage: " in done.stderr


@pytest.mark.parametrize("language", LANGUAGES)
def test_where_callers_are_asked_who_they_are_a_key_is_shown_and_without_one_it_is_said_what_to_do(
    service: Service, guarded: Guarded, language: str
) -> None:
    examples = Examples.of(language, service)
    users = [user.id for user in service.sample.users[:2]]
    known = {"ML_SERVICE_URL": guarded.url, "ML_SERVICE_TOKEN": guarded.key}
    assert examples.lines("recommend", users[0], **known) == [
        f"{users[0]}  hybrid",
        *titles_of(service, users)[users[0]],
    ]
    assert examples.lines("job", *users, **known) == best_of(service, users)
    done = examples.run("job", *users, **known | {"ML_SERVICE_TOKEN": ""})
    assert (done.returncode, done.stdout) == (1, "")
    assert "error: 401 /problems/unauthenticated: say who you are" in done.stderr
    assert done.stderr.endswith("; set ML_SERVICE_TOKEN\n")


def test_a_service_that_is_not_there_is_named(service: Service) -> None:
    address = f"http://127.0.0.1:{free_port()}"

    def run(language: str) -> subprocess.CompletedProcess[str]:
        return Examples.of(language, service).run("recommend", str(uuid4()), ML_SERVICE_URL=address)

    with ThreadPoolExecutor() as pool:  # each tries again, and waits most of its time
        for done in pool.map(run, filter(can_run, LANGUAGES)):
            assert (done.returncode, done.stdout) == (1, "")
            assert f"error: no answer from {address}" in done.stderr


def test_a_java_example_needs_no_compiling() -> None:
    skip_unless_it_runs("java")
    for source in (EXAMPLES / "java").glob("*.java"):
        command = [interpreter("java")[0], source]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL
        )
        assert (done.returncode, done.stdout) == (2, "")
        assert f"usage: java {source.name} " in done.stderr
