"""docs/INTEGRATION.md keeps its word: its requests are sent, its code and its tables compared with the real ones."""

from __future__ import annotations

import json
import re
import shlex
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
from pydantic import BaseModel

from gateway.__main__ import main as make_key
from gateway.auth.api_keys import ApiKeys
from gateway.auth.principals import Scope
from gateway.errors import PROBLEMS
from gateway.limits import Budget
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
from tests.integration.conftest import Guarded
from tests.issuer import AUDIENCE, ISSUER, SECRET, bearer, secret_token
from tests.platform import Platform, wait_for

GUIDE = Guide("INTEGRATION.md")
WHO_ASKS = "3.13 Who asks, and how often"
PAGE = ("3.1 One user", "parameter")


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

    def send(self, service: Service, guarded: Guarded, job: str, cursor: str) -> tuple[int, Mapping[str, str], str]:
        command = self.request.text.replace("\\\n", " ").replace("$KEY", guarded.key)
        command = command.replace("$JOB", job).replace("$CURSOR", cursor)
        words = shlex.split(command)
        assert words[0] == "curl" and words[1] in ("-s", "-si"), words
        address, options = words[2], words[3:]
        headers = dict(options[i + 1].split(": ", 1) for i, word in enumerate(options) if word == "-H")
        data = next((options[i + 1].encode() for i, word in enumerate(options) if word == "-d"), None)
        path = address.removeprefix("http://127.0.0.1:8000")
        assert path != address
        url = guarded.url if self.request.comment == "guarded" else service.url
        try:
            with urllib.request.urlopen(urllib.request.Request(url + path, data, headers), timeout=30) as got:
                return got.status, got.headers, got.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read().decode()


def exchanges() -> Iterator[Exchange]:
    for block in GUIDE.blocks:
        if block.text.startswith("curl"):
            yield Exchange(block, GUIDE.after(block))


def loosely(header: str) -> str:
    return re.sub(r"\b([rt])=\d+", r"\1=<n>", re.sub(UUID_PATTERN, "<id>", header))


def test_each_request_of_the_guide_is_answered_as_shown(service: Service, guarded: Guarded) -> None:
    job, cursor, count = "", "", 0
    for exchange in exchanges():
        status, headers, text = exchange.send(service, guarded, job, cursor)
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
    assert count >= 21
    assert cursor and job


def test_the_command_of_the_guide_makes_a_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = shlex.split(GUIDE.code("run: make a key"))
    assert (words[:3], words[-2:]) == (["python", "-m", "gateway"], ["--file", "keys.json"])
    assert make_key([*words[3:-1], str(tmp_path / "keys.json")]) == 0
    principal = ApiKeys(tmp_path / "keys.json").principal(capsys.readouterr().out.strip())
    assert (principal.name, principal.scopes) == ("key:newsletter", {Scope.READ, Scope.SUBMIT})


def test_too_much_is_answered_as_shown(platform: Platform) -> None:
    platform.title("Alien")
    gateway = platform.gateway(auth="required", jwt_secret=SECRET, jwt_issuer=ISSUER, jwt_audience=AUDIENCE)
    user = bearer(secret_token(sub=str(uuid4())))
    *answered, answer = [gateway.client.get("/api/titles/popular", headers=user) for _ in range(301)]
    head, _, shown = GUIDE.code("too much").partition("\n\n")
    status_line, *lines = head.splitlines()
    assert {answer.status_code for answer in answered} == {200}
    assert status_line == f"HTTP/1.1 {answer.status}"
    for name, value in (line.split(": ", 1) for line in lines if not line.startswith("Retry-After")):
        assert loosely(answer.headers[name]) == loosely(value), name
    assert 0 < int(answer.headers["Retry-After"]) <= 60
    assert answer.get_json() == json.loads(shown)


# Its tables.


def test_the_table_of_addresses_is_the_gateways(platform: Platform) -> None:
    rules = platform.gateway().client.application.url_map.iter_rules()
    real = {
        f"{method} {re.sub(r'<[a-z]+:', '<', rule.rule)}"
        for rule in rules
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert {names(row[0])[0] for row in table(GUIDE.section("3. HTTP"), "method and path")} == real


def test_the_table_of_who_may_ask_is_the_gateways(platform: Platform) -> None:
    real = {
        re.sub(r"<[a-z]+:", "<", endpoint.rule): ({str(scope) for scope in endpoint.access.scopes}, endpoint.access.own)
        for endpoint in platform.gateway().client.application.extensions["endpoints"]
        if not endpoint.access.public
    }
    told: dict[str, tuple[set[str], bool]] = {}
    for addresses, user, services in table(GUIDE.section(WHO_ASKS), "address"):
        assert (user == "yes") == (services == "yes")
        for address in names(addresses):
            scopes, own = told.get(address, (set(), False))
            told[address] = scopes | set(names(services)), own or user == "their own"
    assert told == real


def test_the_table_of_budgets_is_the_gateways() -> None:
    rates = {
        f"RATE_{budget.upper()}": (str(budget), Settings.model_fields[f"rate_{budget}"].default) for budget in Budget
    }
    rows = table(GUIDE.section(WHO_ASKS), "budget")
    assert {names(row[3])[0]: (names(row[0])[0], row[2]) for row in rows} == rates


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
    assert GUIDE.wrong_settings(besides={"ML_SERVICE_URL", "ML_SERVICE_TOKEN"}) == []
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
