"""docs/INTEGRATION.md and docs/examples keep their word: every example is run, every request in the guide is sent, and
its tables are compared with the code.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import psycopg2
import pytest
import redis
from pydantic import BaseModel

from demo.process import PROJECT
from demo.server import free_port
from demo.servers import Postgres
from gateway.errors import PROBLEMS
from shared.contracts import BATCH_TASK, QUEUE, BatchRequest, PageQuery, ResultsQuery
from shared.job_states import JobState
from shared.media import Source, Strategy
from shared.settings import Settings
from tests.conftest import Service
from tests.examples import EXAMPLES, LIMIT, Examples, interpreter
from tests.guides import DOCS, UUID_PATTERN, Block, Guide, alike, names, quoted_region, table, wrong_parameters
from tests.platform import Platform, wait_for

GUIDE = Guide("INTEGRATION.md")
LANGUAGES = ("python", "javascript", "java")
PROGRAMS = ("recommend", "batch", "job")
UNREAD = 15  # a database of the broker's server that no worker reads


# The examples.


def examples_of(language: str, service: Service) -> Examples:
    if reason := interpreter(language)[1]:
        pytest.skip(reason)
    addresses = {"ML_SERVICE_URL": service.url, "BROKER_URL": service.platform.broker_url}
    return Examples(language, addresses | {"LIMIT": str(LIMIT)})


def can_run(language: str) -> bool:
    return not interpreter(language)[1]


@pytest.fixture(params=LANGUAGES)
def examples(request: pytest.FixtureRequest, service: Service) -> Examples:
    return examples_of(request.param, service)


def titles_of(service: Service, users: Sequence[UUID]) -> dict[UUID, list[str]]:
    """Each user's titles as the examples print them, by the service's own answers."""
    found = {}
    for start in range(0, len(users), 50):
        body = {"user_ids": [str(user) for user in users[start : start + 50]], "limit": LIMIT}
        results = service.client.post("/api/recommendations/batch", body).body["results"]
        for user, page in results.items():
            found[UUID(user)] = [f"{t['score']:.4f}  {t['title'] or '(no title)'}" for t in page["recommendations"]]
    return found


def best_of(service: Service, users: Sequence[UUID]) -> list[str]:
    return [f"{user}  {titles[0]}" for user, titles in titles_of(service, users).items()]


def best(page: dict[str, Any]) -> str:
    [title, *_] = page["recommendations"]
    return f"{page['user_id']}  {title['score']:.4f}  {title['title'] or '(no title)'}"


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
        return examples_of(language, service).run("recommend", str(uuid4()), ML_SERVICE_URL=address)

    with ThreadPoolExecutor() as pool:  # each tries again, and waits most of its time
        for done in pool.map(run, filter(can_run, LANGUAGES)):
            assert (done.returncode, done.stdout) == (1, "")
            assert f"error: no answer from {address}" in done.stderr


def test_a_java_example_needs_no_compiling(service: Service) -> None:
    examples_of("java", service)  # or skip
    for source in (EXAMPLES / "java").glob("*.java"):
        command = [interpreter("java")[0], source]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL
        )
        assert (done.returncode, done.stdout) == (2, "")
        assert f"usage: java {source.name} " in done.stderr


@dataclass(frozen=True)
class Publisher:
    """A program that publishes."""

    examples: Examples
    program: str

    def run(self, *users: UUID | str, **more: str) -> subprocess.CompletedProcess[str]:
        return self.examples.run(self.program, *users, **more)

    def titles(self, done: subprocess.CompletedProcess[str]) -> list[str]:
        """The best title of every user, as it was printed."""
        lines = done.stdout.splitlines()
        return [best(json.loads(line)) for line in lines] if self.examples.language == "shell" else lines


PUBLISHERS = (
    ("python", "publish"),
    ("python", "publish_kombu"),
    ("javascript", "publish"),
    ("java", "publish"),
    ("shell", "publish"),
)


@pytest.fixture(params=PUBLISHERS, ids="-".join)
def publisher(request: pytest.FixtureRequest, service: Service) -> Publisher:
    language, program = request.param
    return Publisher(examples_of(language, service), program)


class TestPublishers:
    def test_a_published_batch_becomes_the_job_of_that_id_and_its_end_is_announced(
        self, service: Service, publisher: Publisher
    ) -> None:
        users, job_id = [user.id for user in service.sample.users[:3]], str(uuid4())
        done = publisher.run("-", stdin="\n".join(map(str, users)), JOB_ID=job_id)
        assert (done.returncode, publisher.titles(done)) == (0, best_of(service, users)), done.stderr
        assert "announced: job.completed" in done.stderr
        job = service.client.get(f"/api/jobs/{job_id}").body
        assert (job["state"], job["total"], job["limit"]) == ("completed", 3, LIMIT)

    def test_a_batch_that_is_refused_ends_with_the_reason(self, service: Service, publisher: Publisher) -> None:
        job_id = str(uuid4())
        done = publisher.run("nobody", 'a "quoted" \\ name', JOB_ID=job_id)
        assert (done.returncode, done.stdout) == (1, ""), done.stderr
        assert "rejected" in done.stderr
        assert "user_ids[0]: not a UUID" in done.stderr
        problem = service.client.get(f"/api/jobs/{job_id}").body["problem"]
        assert [error["field"] for error in problem["errors"]] == ["user_ids[0]", "user_ids[1]"]

    def test_a_publisher_needs_no_more_rights_than_the_file_gives(self, service: Service, publisher: Publisher) -> None:
        [words] = (DOCS / "messages" / "publisher.acl").read_text(encoding="utf-8").splitlines()
        _, name, *rules = re.findall(r"\([^)]*\)|\S+", words)
        rights = [rule for rule in rules if not rule.startswith(">")]
        user, address = service.sample.users[0].id, service.platform.broker_url.removeprefix("redis://")
        with redis.Redis.from_url(service.platform.broker_url) as broker:
            broker.execute_command("ACL", "SETUSER", name, "reset", ">p/w: @", *rights)
            try:
                login = f"redis://{name}:p%2Fw%3A%20%40@{address}"
                done = publisher.run(user, BROKER_URL=login)
                assert (done.returncode, publisher.titles(done)) == (0, best_of(service, [user])), done.stderr
                done = publisher.run(user, BROKER_URL=f"redis://{name}:wrong@{address}")
                assert (done.returncode, done.stdout) == (1, "")
                assert "did not take" in done.stderr
            finally:
                broker.execute_command("ACL", "DELUSER", name)

    def test_a_broker_that_is_not_there_is_told(self, publisher: Publisher) -> None:
        done = publisher.run(str(uuid4()), BROKER_URL=f"redis://127.0.0.1:{free_port()}/0")
        assert (done.returncode, done.stdout) == (1, "")
        assert "did not take" in done.stderr

    def test_a_broker_that_is_no_redis_is_refused_before_anything_is_published(self, publisher: Publisher) -> None:
        done = publisher.run(str(uuid4()), BROKER_URL=f"amqp://127.0.0.1:{free_port()}//")
        assert (done.returncode, done.stdout) == (1, "")
        assert "error: BROKER_URL must start with redis://" in done.stderr

    def test_without_users_the_usage_is_shown(self, publisher: Publisher) -> None:
        done = publisher.run()
        assert (done.returncode, done.stdout) == (2, "")
        assert "usage: " in done.stderr


def test_a_message_that_nobody_takes_is_to_be_published_again(service: Service) -> None:
    publishers = [Publisher(examples_of(language, service), name) for language, name in PUBLISHERS if can_run(language)]
    broker_url = f"{service.platform.broker_url.rpartition('/')[0]}/{UNREAD}"
    user, job_ids = service.sample.users[0].id, [str(uuid4()) for _ in publishers]

    def run(publisher: Publisher, job_id: str) -> subprocess.CompletedProcess[str]:
        return publisher.run(user, BROKER_URL=broker_url, JOB_ID=job_id, APPEARS_SECONDS="1")

    with redis.Redis.from_url(broker_url) as broker, ThreadPoolExecutor() as pool:  # each waits, most of its time
        for done, job_id in zip(pool.map(run, publishers, job_ids), job_ids, strict=True):
            assert (done.returncode, done.stdout) == (1, "")
            assert f"error: not taken within 1 s; publish again with JOB_ID={job_id}, which is safe" in done.stderr
        assert broker.llen(QUEUE) == len(publishers)
        broker.flushdb()


def test_a_batch_that_is_published_again_is_the_same_job(service: Service) -> None:
    publish, user, job_id = examples_of("python", service), service.sample.users[5].id, str(uuid4())
    first = publish.lines("publish", user, JOB_ID=job_id)
    finished_at = service.client.get(f"/api/jobs/{job_id}").body["finished_at"]
    assert publish.lines("publish", user, JOB_ID=job_id) == first
    assert service.client.get(f"/api/jobs/{job_id}").body["finished_at"] == finished_at


# The guide: its code.


@pytest.mark.parametrize("block", GUIDE.quoted, ids=lambda block: block.comment.removeprefix("from: "))
def test_quoted_code_is_what_the_example_holds(block: Block) -> None:
    assert block.text == quoted_region(block)


def test_every_example_is_quoted_in_every_language() -> None:
    quoted = {tuple(block.comment.split()[1:]) for block in GUIDE.quoted}
    for program in PROGRAMS:
        files = (f"python/{program}.py", f"javascript/{program}.mjs", "java/Recommendations.java")
        assert {(f"examples/{file}", program) for file in files} <= quoted


def test_every_link_leads_somewhere() -> None:
    assert GUIDE.dangling_links() == []


# The guide: its requests and answers.


@dataclass(frozen=True)
class Exchange:
    """A curl command of the guide, and the answer shown below it."""

    request: Block
    answer: Block

    def send(self, service: Service, job: str) -> tuple[int, Mapping[str, str], str]:
        words = shlex.split(self.request.text.replace("\\\n", " ").replace("$JOB", job))
        assert words[0] == "curl" and words[1] in ("-s", "-si"), words
        address, options = words[2], words[3:]
        headers = dict(options[i + 1].split(": ", 1) for i, word in enumerate(options) if word == "-H")
        data = next((options[i + 1].encode() for i, word in enumerate(options) if word == "-d"), None)
        path = address.removeprefix("http://127.0.0.1:8000")
        assert path != address
        try:
            with urllib.request.urlopen(urllib.request.Request(service.url + path, data, headers), timeout=30) as got:
                return got.status, got.headers, got.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read().decode()


def exchanges() -> Iterator[Exchange]:
    for block in GUIDE.blocks:
        if block.text.startswith("curl"):
            yield Exchange(block, GUIDE.after(block))


def loosely(header: str) -> str:
    return re.sub(UUID_PATTERN, "<id>", header)


def test_each_request_of_the_guide_is_answered_as_shown(service: Service) -> None:
    job, count = "", 0
    for exchange in exchanges():
        status, headers, text = exchange.send(service, job)
        shown = exchange.answer.text
        if exchange.answer.language == "http":
            head, _, shown = shown.partition("\n\n")
            status_line, *lines = head.splitlines()
            assert status_line.split()[:2] == ["HTTP/1.1", str(status)]
            for name, value in (line.split(": ", 1) for line in lines):
                assert loosely(headers[name]) == loosely(value), name
        else:
            assert status == 200, text
        if exchange.answer.language == "ndjson":
            assert len(shown.splitlines()) == len(text.splitlines())
            for one, other in zip(shown.splitlines(), text.splitlines(), strict=True):
                alike(json.loads(one), json.loads(other))
        else:
            given = json.loads(text)
            alike(json.loads(shown), given)
            if status >= 400:
                assert json.loads(shown) == given
            if status == 202:
                job = given["job_id"]
                wait_for(lambda: service.client.get(f"/api/jobs/{job}").body["state"] == "completed")  # noqa: B023
        count += 1
    assert count >= 8


# The guide: its tables.


def test_the_table_of_addresses_is_the_gateways(platform: Platform) -> None:
    rules = platform.gateway().client.application.url_map.iter_rules()
    real = {
        f"{method} {re.sub(r'<[a-z]+:', '<', rule.rule)}"
        for rule in rules
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert {names(row[0])[0] for row in table(GUIDE.section("3. HTTP"), "method and path")} == real


def test_every_address_mentioned_anywhere_is_in_the_table_of_addresses() -> None:
    known = [names(row[0])[0].split()[1] for row in table(GUIDE.section("3. HTTP"), "method and path")]
    patterns = [re.compile(re.sub(r"<\w+>", "[^/]+", path)) for path in known]
    text = GUIDE.text
    for block in GUIDE.quoted:  # where an address is put together from parts
        text = text.replace(block.text, "")
    mentioned = set(re.findall(r"(?:/api|/health|/problems)[\w/<>$-]*", text))
    assert len(mentioned) > 10
    for path in mentioned:
        assert any(pattern.fullmatch(path) for pattern in patterns), path


def test_the_table_of_problems_is_the_gateways() -> None:
    rows = table(GUIDE.section("3.6 Problems"), "type")
    assert {names(row[0])[0].removeprefix("/problems/"): int(row[1]) for row in rows} == {
        name: problem.status for name, problem in PROBLEMS.items()
    }
    for status, name in re.findall(r"\b(\d{3}) `([a-z-]+)`", GUIDE.text):
        if name not in ("unavailable",):  # also a word of /health/ready
            assert PROBLEMS[name].status == int(status)


@pytest.mark.parametrize(
    ("heading", "first_column", "contract"),
    [
        ("3.1 One user", "parameter", PageQuery),
        ("3.2 A few users", "field", BatchRequest),
        ("3.4 A job's results", "parameter", ResultsQuery),
    ],
)
def test_parameters_have_the_ranges_and_defaults_of_the_contracts(
    heading: str, first_column: str, contract: type[BaseModel]
) -> None:
    assert wrong_parameters(table(GUIDE.section(heading), first_column), contract) == []


def test_settings_are_named_and_valued_as_they_are() -> None:
    assert GUIDE.wrong_settings(besides={"ML_SERVICE_URL"}) == []
    addresses = {name.upper() for name in Settings.model_fields if name.endswith("_url")}
    assert [name for name in addresses if f"`{name}`" not in GUIDE.text] == []


def test_the_names_of_states_strategies_sources_and_checks_are_the_codes(service: Service) -> None:
    meaning = GUIDE.section("5. What an answer means")
    shown = {
        "state": [names(row[0])[0] for row in table(GUIDE.section("3.3 Many users: a job"), "state")],
        "strategy": [names(row[0])[0] for row in table(meaning, "strategy")],
        "source": [names(row[0])[0] for row in table(meaning, "source")],
        "check": sorted(names(row[0])[0] for row in table(GUIDE.section("3.5 Health"), "check")),
    }
    assert shown == {
        "state": list(JobState),
        "strategy": list(Strategy),
        "source": list(Source),
        "check": sorted(service.client.get("/health/ready").body["checks"]),
    }


def test_every_field_of_a_page_and_a_title_is_explained(service: Service) -> None:
    meaning = GUIDE.section("5. What an answer means")
    explained = [name for cell in re.findall(r"^\| (`.*?) \|", meaning, re.MULTILINE) for name in names(cell)]
    page = service.client.get(f"/api/recommendations/{service.sample.users[0].id}").body
    assert explained == [*page, *page["recommendations"][0], *Strategy, *Source]


def test_the_queue_and_its_task_have_the_names_of_the_contracts() -> None:
    text = GUIDE.section("4. The queue")
    assert [name for name in (QUEUE, BATCH_TASK) if f"`{name}`" not in text] == []


# The guide: its SQL.


def sql(comment: str) -> str:
    return GUIDE.code(f"sql: {comment}")


def execute(dsn: str, text: str) -> None:
    """Run statements one by one: CREATE DATABASE wants to be alone."""
    with closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        for statement in filter(str.strip, re.split(r";[^\n]*\n", text)):
            cursor.execute(statement)


@pytest.fixture(scope="module")
def reader(postgres: Postgres) -> str:
    """The role of the guide, with its own database beside those of other tests; its password."""
    password = "chosen"
    text = sql("any").replace("choose one", password).replace("jobs_db", "guide_jobs_db")
    execute(postgres.dsn(), text)
    return password


def as_reader(dsn: str, password: str) -> str:
    return re.sub(r"//[^@]*@", f"//ml_service:{password}@", dsn)


def test_the_index_advised_is_the_one_of_the_schema() -> None:
    schema = (PROJECT / "shared/schema/engagement_db.sql").read_text(encoding="utf-8")
    assert sql("engagement_db index") in schema


def test_the_rights_of_the_guide_are_enough_and_no_more(platform: Platform, postgres: Postgres, reader: str) -> None:
    for name in ("user_db", "catalog_db", "engagement_db"):
        execute(platform.urls[name], sql(name))
    addresses = {f"{name}_url": as_reader(url, reader) for name, url in platform.urls.items()}
    addresses["jobs_db_url"] = as_reader(postgres.dsn("guide_jobs_db"), reader)
    heat, ronin = platform.title("Heat", "Crime"), platform.title("Ronin", "Crime")
    user = platform.user("Crime")
    platform.like([uuid4(), uuid4()], heat, ronin)
    platform.like(user, heat)
    platform.train(**addresses)
    gateway = platform.gateway(**addresses)
    page = gateway.page(user)
    assert (page["strategy"], page["degraded"], page["count"]) == ("hybrid", False, 1)
    body = {"user_ids": [str(user)]}
    answer = gateway.client.post("/api/recommendations/batch", json=body, headers={"Prefer": "respond-async"})
    assert answer.status_code == 202
    for name, statement in (
        ("user_db", "DELETE FROM tb_user_genre"),
        ("catalog_db", "UPDATE medias SET title = ''"),
        ("engagement_db", "SELECT interaction_value FROM interaction"),
    ):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            execute(addresses[f"{name}_url"], statement + ";\n")


THEIRS = {
    "user_db": "CREATE TABLE profile_genre (profile_no bigint, genre text);\n",
    "catalog_db": """
        CREATE TABLE film (film_no bigint, name text, plot text, year smallint, poster text, withdrawn boolean);
        CREATE TABLE film_tag (film_no bigint, tag text);
        INSERT INTO film SELECT n, 'Film ' || n, 'Plot', 2000 + n, NULL, n = 6 FROM generate_series(1, 7) AS n;
        INSERT INTO film_tag SELECT n, CASE WHEN n % 2 = 0 THEN 'drama' ELSE 'war' END FROM generate_series(1, 7) AS n;
        """,
    "engagement_db": """
        CREATE TABLE event (event_no bigint GENERATED ALWAYS AS IDENTITY, profile_no bigint, film_no bigint,
                            action text, progress real, happened_at timestamptz);
        INSERT INTO event (profile_no, film_no, action, happened_at)
        SELECT 100 + u, f, 'thumbs_up', now() FROM generate_series(1, 3) AS u, generate_series(1, 7) AS f;
        INSERT INTO event (profile_no, film_no, action, progress, happened_at) VALUES
            (42, 1, 'thumbs_down', NULL, '2024-01-01 12:00+00'), (42, 1, 'thumbs_up', NULL, '2024-01-01 13:30+02'),
            (43, 1, 'thumbs_up', NULL, '2024-01-01 12:00+00'), (43, 2, 'play', 0.1, '2024-01-01 12:00+00'),
            (43, 3, 'shown', NULL, '2024-01-01 12:00+00'), (NULL, 3, 'play', 1, now()), (43, NULL, 'play', 1, now()),
            (44, 4, 'play', 0.9, now()), (45, 4, 'play', 0.1, now());
        INSERT INTO event (profile_no, film_no, action, happened_at)
        SELECT 1000 + n, n % 7 + 1, 'thumbs_up', now() FROM generate_series(1, 20000) AS n;
        """,
}


def test_the_views_of_the_guide_make_other_tables_readable(platform: Platform, postgres: Postgres, reader: str) -> None:
    addresses = {}
    for name, tables in THEIRS.items():
        postgres.create_database(f"guide_{name}")
        dsn = postgres.dsn(f"guide_{name}")
        views = sql(f"views {name}").replace(f"IN DATABASE {name}", f"IN DATABASE guide_{name}")
        execute(dsn, tables + sql("views all") + views + "ANALYZE;\nVACUUM;\n")
        addresses[f"{name}_url"] = as_reader(dsn, reader)
    execute(postgres.dsn("guide_user_db"), "INSERT INTO profile_genre VALUES (42, 'Drama'), (42, NULL);\n")

    def user(number: int) -> UUID:
        return UUID(int=number)

    assert f"`{user(42)}`" in GUIDE.text  # as the text says
    platform.train(**addresses)
    gateway = platform.gateway(**addresses)

    assert gateway.page(user(41))["strategy"] == "popular"
    page = gateway.page(user(42))  # 13:30 in a zone two hours ahead is before noon: the dislike is the later one
    assert (page["strategy"], page["degraded"]) == ("content", False)
    assert [t["title"] for t in page["recommendations"]][:2] in (["Film 2", "Film 4"], ["Film 4", "Film 2"])
    assert {t["title"] for t in page["recommendations"]} == {f"Film {n}" for n in (2, 3, 4, 5, 7)}
    page = gateway.page(user(43))  # liked 1, began 2, was shown 3
    assert page["strategy"] == "collaborative"
    assert {t["title"] for t in page["recommendations"]} == {f"Film {n}" for n in (3, 4, 5, 7)}
    assert page["recommendations"][0] | {"title": "", "media_id": "", "release_year": 0, "score": 0, "genres": []} == {
        "media_id": "", "title": "", "description": "Plot", "release_year": 0, "media_type": "MOVIE", "cover_url": None,
        "genres": [], "score": 0, "content_score": 0.0, "collaborative_score": 1.0, "source": "hybrid",
    }  # fmt: skip
    assert gateway.page(user(44))["strategy"] == "collaborative"  # watched 4 nearly to its end
    page = gateway.page(user(45))  # began 4, and no more
    assert (page["strategy"], "Film 4" in [t["title"] for t in page["recommendations"]]) == ("popular", False)

    with closing(psycopg2.connect(addresses["engagement_db_url"])) as connection, connection.cursor() as cursor:
        query = "EXPLAIN SELECT id, user_id, media_id, type FROM interaction WHERE user_id = ANY(%s::uuid[])"
        cursor.execute(query, ([str(user(43))],))
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "Index Only Scan using event_history" in plan
