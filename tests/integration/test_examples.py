"""docs/examples: every program that asks the gateway is run against it."""

from __future__ import annotations

import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from demo.server import free_port
from tests.conftest import Service
from tests.examples import EXAMPLES, PROGRAMS, Examples, best_of, can_run, interpreter, skip_unless_it_runs, titles_of
from tests.guides import UUID_PATTERN

LANGUAGES = ("python", "javascript", "java")


@pytest.fixture(params=LANGUAGES)
def examples(request: pytest.FixtureRequest, service: Service) -> Examples:
    return Examples.of(request.param, service)


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

    def test_what_the_service_refuses_ends_with_its_own_words(self, examples: Examples) -> None:
        for program in PROGRAMS:
            done = examples.run(program, "nobody")
            assert (done.returncode, done.stdout) == (1, ""), program
            assert "error: 400 /problems/invalid-request: " in done.stderr
            assert "not a UUID" in done.stderr

    def test_without_users_the_usage_is_shown(self, examples: Examples) -> None:
        for program in PROGRAMS:
            done = examples.run(program)
            assert (done.returncode, done.stdout) == (2, ""), program
            assert "usage: " in done.stderr


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
