"""docs/messages: the files are what the code says, they are valid, and the contract takes what the schema takes."""

from __future__ import annotations

import base64
import copy
import json
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import jsonschema
import pytest
import yaml
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from jsonschema.validators import extend

from docs.messages.generate import HERE, files
from shared.answers import announcement_document
from shared.contracts import BATCH_TASK, CHUNK_TASK, QUEUE, BatchMessage
from shared.errors import FieldProblem, InvalidRequest
from shared.job_states import OPEN, Job, JobProblem, JobProblemKind, JobState
from shared.options import NOTHING
from shared.parsing import parse
from tests.contracts import JOB, USER
from tests.fitting import fitting
from worker.guard.envelope import Refused, read_envelope

FILES = files()
SCHEMAS = {name: json.loads(text) for name, text in FILES.items() if name.endswith(".json")}
ASYNCAPI = yaml.safe_load(FILES["asyncapi.yaml"])
BATCH, ANNOUNCEMENT = SCHEMAS["batch.v1.json"], SCHEMAS["announcement.v1.json"]
SPECIFICATION = "@asyncapi/specs@6.11.1"  # on npm: AsyncAPI's own JSON Schemas


# What is committed is what the generator makes.


@pytest.mark.parametrize("name", FILES)
def test_the_committed_file_is_what_make_docs_writes(name: str) -> None:
    assert (HERE / name).read_text(encoding="utf-8") == FILES[name], f"docs/messages/{name} is stale: run `make docs`"


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_valid_and_says_what_it_is(name: str) -> None:
    schema = SCHEMAS[name]
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == jsonschema.Draft202012Validator.META_SCHEMA["$id"]
    assert schema["$id"].endswith(name.removesuffix(".json"))


# The batch: schema and contract are of one opinion.


def _pattern(_: Any, pattern: str, instance: Any, __: Any) -> Iterator[jsonschema.ValidationError]:
    """As ECMA 262 reads a pattern, and so the contract: `$` is the very end. Python's passes over a last newline."""
    if isinstance(instance, str) and not re.search(re.sub(r"\$$", r"\\Z", pattern), instance):
        yield jsonschema.ValidationError(f"{instance!r} does not match {pattern!r}")


VALIDATOR = extend(jsonschema.Draft202012Validator, {"pattern": _pattern})(BATCH)


WHOLE_NUMBERS = ("limit", "year_from", "year_to", "max_per_genre", "seed")


def unsaid(arguments: dict[str, Any]) -> bool:
    """Whether these arguments break a rule of UNSAID, though the schema takes them."""
    begin, end = arguments.get("year_from"), arguments.get("year_to")
    if begin is not None and end is not None and end < begin:
        return True
    try:
        if deadline := arguments.get("deadline"):
            datetime.fromisoformat(deadline.upper()).astimezone(UTC)
        if (address := arguments.get("callback_url")) is not None:
            parts = urlsplit(address)
            at_a_host = parts.hostname and not parts.username and parts.port != 0
            return not at_a_host or re.fullmatch(r"(?i:https?)://[!-~]+", address) is None
    except (ValueError, OverflowError):
        return True
    return False


def taken(arguments: Any) -> bool:
    try:
        parse(BatchMessage, arguments)
    except InvalidRequest:
        return False
    return True


ADDRESSES = st.from_regex(r"\Ahttps?://[a-z]{1,9}(:[1-9][0-9]{1,3})?(/[!-~]{0,9})?\Z")
VALID = fitting(BATCH) | st.builds(lambda valid, url: valid | {"callback_url": url}, fitting(BATCH), ADDRESSES)


@settings(max_examples=50, deadline=None)
@given(arguments=VALID)
def test_what_the_schema_takes_the_contract_takes(arguments: dict[str, Any]) -> None:
    VALIDATOR.validate(arguments)
    assume(not unsaid(arguments))
    message = parse(BatchMessage, arguments)
    assert message.user_ids == [UUID(user) for user in arguments["user_ids"]]
    assert message.job_id == UUID(arguments["job_id"])


TAKEN = {
    "whole-numbers-as-some-languages-write-them": dict.fromkeys(WHOLE_NUMBERS, 10.0),
    "ids-in-capitals": {"job_id": JOB.upper(), "user_ids": [USER.upper()]},
    "nulls": dict.fromkeys(("deadline", "reply_to", "callback_url", "year_from", "year_to", "max_per_genre")),
    "least": {"limit": 1, "reply_to": "recommendations.reply.a"},
    "most": {"limit": 100, "reply_to": "recommendations.reply." + 64 * "-", "callback_url": "https://a/" + 1990 * "b"},
    "most-of-a-list": {"genres_none": ["x" * 200] * 50, "media_type": ["x"] * 20, "exclude": [USER] * 500},
    "whole-shares": {"diversity": 1, "explore": 0},
    "a-name-in-other-letters": {"genres_any": ["\u30b3\u30e1\u30c7\u30a3", "\U0001f3ac", " Film\u00a0 Noir "]},
    "one-year": {"year_from": 1994, "year_to": 1994},
    "every-field": {"fields": BATCH["properties"]["fields"]["items"]["enum"]},
    "a-user-twice": {"user_ids": [USER, USER]},
    "deadline-in-small-letters": {"deadline": "2026-11-23t06:00:00z"},
    "deadline-to-the-microsecond": {"deadline": "2026-11-23T06:00:00.123456-03:30"},
}


@pytest.mark.parametrize("more", TAKEN.values(), ids=TAKEN)
def test_unusual_arguments_are_taken_by_both(more: dict[str, Any]) -> None:
    arguments = {"job_id": JOB, "user_ids": [USER]} | more
    VALIDATOR.validate(arguments)
    assert taken(arguments)


UNSAID = {
    "no-such-day": {"deadline": "2026-02-30T00:00:00Z"},
    "no-such-hour": {"deadline": "2026-11-23T24:00:00Z"},
    "leap-second": {"deadline": "2026-12-31T23:59:60Z"},
    "years-backwards": {"year_from": 2000, "year_to": 1999},
    "address-of-another-scheme": {"callback_url": "ftp://hooks.example.com/done"},
    "address-without-a-host": {"callback_url": "https:///done"},
    "address-with-a-login": {"callback_url": "https://me:secret@hooks.example.com/done"},
    "address-with-a-blank": {"callback_url": "https://hooks.example.com/all done"},
    "address-in-other-letters": {"callback_url": "https://hooks.example.com/f\u00fcr"},
    "no-address": {"callback_url": "done"},
}


@pytest.mark.parametrize("more", UNSAID.values(), ids=UNSAID)
def test_what_the_schema_cannot_say_is_refused_all_the_same(more: dict[str, Any]) -> None:
    arguments = {"job_id": JOB, "user_ids": [USER]} | more
    assert VALIDATOR.is_valid(arguments)
    assert unsaid(arguments)
    assert not taken(arguments)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([USER, JOB]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def spoilt(draw: st.DrawFn) -> dict[str, Any]:
    """Valid arguments with one thing changed, so that they are valid no more."""
    arguments = copy.deepcopy(draw(VALID))
    name = draw(st.sampled_from([*BATCH["properties"], "priority"]) | st.text())
    match draw(st.sampled_from(["replace", "remove", "spoil a user"])):
        case "replace":
            arguments[name] = draw(ANYTHING)
        case "remove":
            arguments.pop(name, None)
        case _:
            place = draw(st.integers(0, len(arguments["user_ids"]) - 1))
            arguments["user_ids"][place] = draw(ANYTHING)
    assume(not VALIDATOR.is_valid(arguments))
    return arguments


@settings(max_examples=50, deadline=None)
@given(arguments=spoilt())
@example(arguments={"job_id": JOB, "user_ids": [USER], "reply_to": "recommendations.reply.a\n"})
@example(arguments={"job_id": JOB, "user_ids": [USER], "reply_to": QUEUE})
@example(arguments={"job_id": f"{JOB}\n", "user_ids": [USER]})
@example(arguments={"job_id": JOB, "user_ids": [USER], "deadline": "2026-11-23T06:00:00"})
@example(arguments={"job_id": JOB, "user_ids": [USER], "deadline": 1_700_000_000})
@example(arguments={"job_id": JOB, "user_ids": [USER], "callback_url": "https://a.example/" + 2000 * "a"})
@example(arguments={"job_id": JOB, "user_ids": [USER], "genres_any": ["Comedy\n"]})
@example(arguments={"job_id": JOB, "user_ids": [USER], "genres_any": ["\x1f"]})
@example(arguments={"job_id": JOB, "user_ids": [USER], "genres_any": ["\0"]})
@example(arguments={"job_id": JOB, "user_ids": [USER], "diversity": 1.5})
@example(arguments={"job_id": JOB, "user_ids": [USER], "year_to": 10_000})
@example(arguments={"job_id": JOB, "user_ids": [USER], "max_per_genre": 0})
@example(arguments={"job_id": JOB, "user_ids": [USER], "exclude": [USER] * 501})
@example(arguments={"job_id": JOB, "user_ids": [USER], "explain": None})
def test_what_the_schema_refuses_the_contract_refuses(arguments: dict[str, Any]) -> None:
    assert not VALIDATOR.is_valid(arguments)
    assert not taken(arguments)


# The envelope: schema and guard are of one opinion, field by field.

ENVELOPE = SCHEMAS["envelope.v2.json"]
BODY = json.dumps([[], {"job_id": JOB, "user_ids": [USER]}, None])
WHOLE: dict[str, Any] = {
    "body": BODY,
    "content-type": "application/json",
    "content-encoding": "utf-8",
    "headers": {"task": BATCH_TASK, "id": JOB, "eta": None, "expires": "2999-01-01T00:00:00Z", "compression": None},
    "properties": {"delivery_tag": JOB, "delivery_info": {}, "body_encoding": None},
}
ABSENT = object()
NAMES = ("utf-8", "application/json", BATCH_TASK, CHUNK_TASK)
ODD = (ABSENT, None, True, 42, 1.5, "", "x", "x" * 256, [], ["x"], {}, {"x": 1}, *NAMES)
PLACES = [(part, name) for part in ("headers", "properties") for name in WHOLE[part]] + [("", name) for name in WHOLE]


@pytest.mark.parametrize("place", PLACES, ids=lambda place: "-".join(filter(None, place)))
def test_what_the_envelopes_schema_takes_the_guard_takes_and_nothing_else(place: tuple[str, str]) -> None:
    part, name = place
    for odd in ODD:
        if name == "body" and isinstance(odd, str):
            continue  # what a string holds the schema does not say
        envelope = copy.deepcopy(WHOLE)
        fields = envelope[part] if part else envelope
        if odd is ABSENT:
            del fields[name]
        else:
            fields[name] = odd
        valid = jsonschema.Draft202012Validator(ENVELOPE).is_valid(envelope)
        assert admitted(envelope) == valid, odd


def admitted(envelope: dict[str, Any]) -> bool:
    try:
        read_envelope(QUEUE, json.dumps(envelope).encode())
    except Refused:
        return False
    return True


def test_a_body_is_in_base64_when_the_envelope_says_so() -> None:
    in_base64 = copy.deepcopy(WHOLE) | {"body": base64.b64encode(BODY.encode()).decode()}
    assert not admitted(in_base64)
    in_base64["properties"]["body_encoding"] = "base64"
    assert admitted(in_base64)
    jsonschema.validate(in_base64, ENVELOPE)


@pytest.mark.parametrize("embed", [None, {}, dict.fromkeys(("callbacks", "errbacks", "chain", "chord")), {"chain": []}])
@pytest.mark.parametrize("args", [[], [1]])
def test_the_body_of_the_asyncapi_document_is_what_the_guard_takes(args: list[Any], embed: Any) -> None:
    schema = copy.deepcopy(ASYNCAPI["components"]["messages"]["batch"]["payload"]["schema"])
    schema["prefixItems"][1] = BATCH
    for follow_up in (embed, (embed or {}) | {"chord": {"task": "model.train.v1"}}):
        decoded = [args, {"job_id": JOB, "user_ids": [USER]}, follow_up]
        valid = jsonschema.Draft202012Validator(schema).is_valid(decoded)
        assert admitted(WHOLE | {"body": json.dumps(decoded)}) == valid


# The announcement: what is sent fits its schema.

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
ENDED = Job(
    job_id=UUID(JOB),
    caller=None,
    state=JobState.COMPLETED,
    limit=10,
    total=2,
    done=2,
    failed=0,
    fingerprint=b"",
    asked=NOTHING,
    problem=None,
    created_at=NOON,
    started_at=NOON,
    finished_at=NOON,
    deadline=NOON,
    expires_at=NOON,
    expired=False,
)
FIELDS = (FieldProblem("user_ids[0]", "not a UUID"), FieldProblem("limit", "too large", "1 to 100"))
PROBLEMS = {
    JobState.FAILED: JobProblem(JobProblemKind.FAILED, "the database is gone"),
    JobState.COMPLETED_WITH_ERRORS: JobProblem(JobProblemKind.FAILED, "the database is gone"),
    JobState.EXPIRED: JobProblem(JobProblemKind.EXPIRED, "not done in time"),
    JobState.REJECTED: JobProblem(JobProblemKind.INVALID, "user_ids[0]: not a UUID", FIELDS),
}


@pytest.mark.parametrize("state", sorted(set(JobState) - OPEN))
def test_the_announcement_of_every_end_fits_its_schema_and_has_no_field_that_it_does_not_name(state: JobState) -> None:
    never_began = {} if state is not JobState.REJECTED else {"limit": 0, "total": 0, "done": 0, "started_at": None}
    job = replace(ENDED, state=state, problem=PROBLEMS.get(state), expires_at=None, **never_began)
    for ended in (job, replace(job, expires_at=NOON)):
        document = json.loads(json.dumps(announcement_document(ended)))
        jsonschema.validate(document, ANNOUNCEMENT, format_checker=jsonschema.FormatChecker())
        assert unnamed(document, ANNOUNCEMENT) == []
    assert document["type"] == f"job.{state}"


def unnamed(document: dict[str, Any], schema: dict[str, Any]) -> list[str]:
    """Fields of a document, and of all within it, that its schema says nothing of."""
    closed = copy.deepcopy(schema)
    for part in (closed, *closed["$defs"].values()):
        part["additionalProperties"] = False
    return [error.message for error in jsonschema.Draft202012Validator(closed).iter_errors(document)]


def test_a_job_that_has_not_ended_has_no_announcement() -> None:
    with pytest.raises(jsonschema.ValidationError, match=r"job\.running"):
        jsonschema.validate(announcement_document(replace(ENDED, state=JobState.RUNNING)), ANNOUNCEMENT)


# The AsyncAPI document.


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from [value] if key == "$ref" else references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_every_reference_of_the_asyncapi_document_leads_somewhere() -> None:
    found = set(references(ASYNCAPI))
    assert len(found) > 8
    for reference in found:
        file, _, pointer = reference.removeprefix("./").partition("#")
        node = SCHEMAS[file] if file else ASYNCAPI
        for step in pointer.split("/")[1:]:
            node = node[step]


@pytest.fixture(scope="session")
def specification(request: pytest.FixtureRequest) -> dict[str, Any]:
    """AsyncAPI's own schema, fetched from npm's registry once and then kept in pytest's cache."""
    directory = request.config.cache.mkdir("asyncapi")
    file = directory / "3.0.0.json"
    if not file.exists():
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip("npm is not installed, and AsyncAPI's schema comes with an npm package")
        command = [npm, "pack", "--silent", SPECIFICATION]
        packed = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=60, check=False)
        if packed.returncode:
            pytest.skip(f"npm cannot fetch {SPECIFICATION}: {packed.stderr.strip()[-200:]}")
        with tarfile.open(directory / packed.stdout.strip()) as package:
            file.write_bytes(package.extractfile("package/schemas/3.0.0.json").read())
    return json.loads(file.read_text(encoding="utf-8"))


def test_the_asyncapi_document_is_one_by_its_own_specification(specification: dict[str, Any]) -> None:
    assert [e.message for e in jsonschema.Draft7Validator(specification).iter_errors(ASYNCAPI)] == []
