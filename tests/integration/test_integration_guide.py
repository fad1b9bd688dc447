"""docs/INTEGRATION.md keeps its word: its requests are sent, its code and its tables compared with the real ones."""

from __future__ import annotations

import json
import re
import shlex
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest
from pydantic import BaseModel

from gateway.errors import PROBLEMS
from shared.contracts import (
    BATCH_TASK,
    QUEUE,
    BatchRequest,
    PopularRequest,
    PreviewRequest,
    ResultsQuery,
    SimilarRequest,
    UserPageRequest,
)
from shared.job_states import JobState
from shared.media import Source, Strategy
from shared.settings import Settings
from tests.conftest import Service
from tests.examples import PROGRAMS
from tests.guides import UUID_PATTERN, Block, Guide, alike, names, quoted_region, table, wrong_parameters
from tests.platform import Platform, wait_for

GUIDE = Guide("INTEGRATION.md")


# Its code.


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


# Its requests and answers.


@dataclass(frozen=True)
class Exchange:
    """A curl command of the guide, and the answer shown below it."""

    request: Block
    answer: Block

    def send(self, service: Service, job: str, cursor: str) -> tuple[int, Mapping[str, str], str]:
        command = self.request.text.replace("\\\n", " ").replace("$JOB", job).replace("$CURSOR", cursor)
        words = shlex.split(command)
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
    job, cursor, count = "", "", 0
    for exchange in exchanges():
        status, headers, text = exchange.send(service, job, cursor)
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
            if "cursor=*" in exchange.request.text:
                cursor = given["next_cursor"]
            if status == 202:
                job = given["job_id"]
                wait_for(lambda job=job: service.client.get(f"/api/jobs/{job}").body["state"] == "completed")
        count += 1
    assert count >= 17
    assert cursor and job


# Its tables.


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
    rows = table(GUIDE.section("3.10 Problems"), "type")
    assert {names(row[0])[0].removeprefix("/problems/"): int(row[1]) for row in rows} == {
        name: problem.status for name, problem in PROBLEMS.items()
    }
    for status, name in re.findall(r"\b(\d{3}) `([a-z-]+)`", GUIDE.text):
        if name not in ("unavailable",):  # also a word of /health/ready
            assert PROBLEMS[name].status == int(status)


PAGE = ("3.1 One user", "parameter")
OPTIONS = ("3.2 What may be asked of a list", "option")
OF_POPULAR = ("3.4 Titles: like one, and popular", "parameter")


@pytest.mark.parametrize(
    ("contract", "tables", "without"),
    [
        (UserPageRequest, [PAGE, OPTIONS], set()),
        (SimilarRequest, [PAGE, OPTIONS], {"include_seen"}),
        (PopularRequest, [PAGE, OPTIONS, OF_POPULAR], {"include_seen"}),
        (PreviewRequest, [PAGE, OPTIONS, ("3.5 Somebody who signs up", "field")], set()),
        (BatchRequest, [OPTIONS, ("3.6 A few users", "field")], set()),
        (ResultsQuery, [("3.8 A job's results", "parameter")], set()),
    ],
)
def test_parameters_have_the_ranges_and_defaults_of_the_contracts(
    contract: type[BaseModel], tables: list[tuple[str, str]], without: set[str]
) -> None:
    rows = [row for heading, column in tables for row in table(GUIDE.section(heading), column)]
    assert wrong_parameters([row for row in rows if names(row[0])[0] not in without], contract) == []


def test_settings_are_named_and_valued_as_they_are() -> None:
    assert GUIDE.wrong_settings(besides={"ML_SERVICE_URL"}) == []
    addresses = {name.upper() for name in Settings.model_fields if name.endswith("_url")}
    assert [name for name in addresses if f"`{name}`" not in GUIDE.text] == []


def test_the_names_of_states_strategies_sources_and_checks_are_the_codes(service: Service) -> None:
    meaning = GUIDE.section("5. What an answer means")
    shown = {
        "state": [names(row[0])[0] for row in table(GUIDE.section("3.7 Many users: a job"), "state")],
        "strategy": [names(row[0])[0] for row in table(meaning, "strategy")],
        "source": [names(row[0])[0] for row in table(meaning, "source")],
        "check": sorted(names(row[0])[0] for row in table(GUIDE.section("3.9 Health"), "check")),
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
    title = page["recommendations"][0]
    reason = title["reason"]
    assert explained == [*page, *title, *reason, *reason["history"][0], *Strategy, *Source]


def test_the_queue_and_its_task_have_the_names_of_the_contracts() -> None:
    text = GUIDE.section("4. The queue")
    assert [name for name in (QUEUE, BATCH_TASK) if f"`{name}`" not in text] == []
