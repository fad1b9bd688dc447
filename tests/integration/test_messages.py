"""docs/MESSAGES.md keeps its word: its commands are run, its documents and tables compared with what is."""

from __future__ import annotations

import base64
import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import jsonschema
import pytest
import redis

from shared.callbacks import CallbackPolicy
from shared.contracts import BATCH_TASK, DEAD_SUFFIX, QUEUE, REPLY_PREFIX, BatchMessage
from tests.conftest import Service
from tests.examples import Examples, skip_unless_it_runs
from tests.guides import DOCS, Block, Guide, alike, names, quoted_region, table, wrong_parameters
from tests.messages import envelope
from tests.platform import wait_for
from tests.receiver import SECRET, Receiver
from tests.vectors import VECTORS
from worker.announcing.webhook import Webhook
from worker.guard.envelope import Refused, read_envelope

GUIDE = Guide("MESSAGES.md")
DEAD = QUEUE + DEAD_SUFFIX
REPLY = f"{REPLY_PREFIX}newsletter"
SCHEMAS = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in (DOCS / "messages").glob("*.json")}
SECONDS = 30.0  # for a message to become what it becomes


@pytest.fixture
def broker(service: Service) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(service.platform.broker_url, socket_timeout=SECONDS + 5) as client:
        client.delete(DEAD, REPLY)
        yield client


def push(broker: redis.Redis, letter: Mapping[str, Any] | str) -> None:
    broker.lpush(QUEUE, letter if isinstance(letter, str) else json.dumps(letter))


def job(service: Service, job_id: str) -> dict[str, Any]:
    """The job as the gateway has it; empty when there is none."""
    answer = service.client.get(f"/api/jobs/{job_id}", expect=None)
    return answer.body if answer.status == 200 else {}


def ended(service: Service, job_id: str) -> dict[str, Any]:
    wait_for(lambda: job(service, job_id).get("finished_at") is not None, SECONDS)
    return job(service, job_id)


def popped(broker: redis.Redis, queue: str) -> dict[str, Any]:
    """The next document of a queue."""
    found = broker.brpop([queue], timeout=SECONDS)
    assert found, f"nothing came on {queue} within {SECONDS:g} s"
    return json.loads(found[1])


def arguments(service: Service, **changes: Any) -> dict[str, Any]:
    return {"job_id": str(uuid4()), "user_ids": [str(service.sample.users[3].id)]} | changes


# What stands in code.


@pytest.mark.parametrize("block", GUIDE.quoted, ids=lambda block: block.comment.removeprefix("from: "))
def test_quoted_code_is_what_the_example_holds(block: Block) -> None:
    assert block.text == quoted_region(block)


def test_the_access_list_shown_is_the_file() -> None:
    assert GUIDE.code("file: messages/publisher.acl") == (DOCS / "messages/publisher.acl").read_text(encoding="utf-8")


def test_every_link_leads_somewhere() -> None:
    assert GUIDE.dangling_links() == []


def test_settings_are_named_and_valued_as_they_are() -> None:
    assert GUIDE.wrong_settings(besides={"ML_SERVICE_TOKEN"}) == []


# Its commands and documents.


def command(name: str, **replaced: str) -> list[str]:
    """The words of a command of the guide, with other ids."""
    text = GUIDE.code(f"run: {name}").replace("\\\n", " ")
    for old, new in replaced.items():
        text = text.replace(old, new)
    return shlex.split(text)


def redis_cli(broker: redis.Redis, words: list[str]) -> Any:
    assert words[:3] == ["redis-cli", "-u", "$BROKER_URL"]
    return broker.execute_command(*words[3:])


def curl(service: Service, words: list[str]) -> Any:
    assert words[:2] == ["curl", "-s"]
    return service.client.get(words[2].removeprefix("http://127.0.0.1:8000")).body


def test_the_smallest_thing_works_as_shown(service: Service, broker: redis.Redis) -> None:
    [shown] = re.findall(r"/api/jobs/(\S+)", GUIDE.code("run: follow"))
    job_id = str(uuid4())
    assert redis_cli(broker, command("publish", **{shown: job_id})) >= 1
    ended(service, job_id)
    [follow] = [block for block in GUIDE.blocks if block.comment == "run: follow"]
    document = curl(service, command("follow", **{shown: job_id}))
    alike(json.loads(GUIDE.after(follow).text), document)
    assert document["state"] == "completed"
    [page] = curl(service, command("results", **{shown: job_id}))["results"]
    assert page["user_id"] in GUIDE.code("run: publish")
    assert page["strategy"] == "hybrid"  # a user that the sample has, with titles of his own


def test_the_end_is_announced_as_shown(service: Service, broker: redis.Redis) -> None:
    batch = arguments(service, reply_to=REPLY)
    push(broker, envelope(batch))
    _, document = redis_cli(broker, [*command("listen")[:-1], str(SECONDS)])
    announcement = json.loads(document)
    shown = json.loads(GUIDE.code("announcement"))
    alike(shown, announcement)
    assert (announcement["type"], announcement["data"]["job_id"]) == ("job.completed", batch["job_id"])
    assert announcement["data"] == job(service, batch["job_id"])
    assert broker.ttl(REPLY) > 0 or not broker.exists(REPLY)


def test_a_refused_batch_is_a_rejected_job_and_announced(service: Service, broker: redis.Redis) -> None:
    batch = arguments(service, limit=101, reply_to=REPLY)
    push(broker, envelope(batch))
    rejected, shown = ended(service, batch["job_id"]), json.loads(GUIDE.code("rejected"))
    alike(shown, rejected)
    assert (rejected["state"], rejected["problem"]) == ("rejected", shown["problem"])
    announcement = popped(broker, REPLY)
    assert announcement == {"type": "job.rejected", "timestamp": rejected["finished_at"], "data": rejected}


@pytest.mark.parametrize("ending", ["completed", "cancelled", "expired", "rejected"])
def test_every_announcement_fits_its_schema(service: Service, broker: redis.Redis, ending: str) -> None:
    soon = (datetime.now(UTC) + timedelta(seconds=-1)).isoformat()
    more = {"expired": {"deadline": soon}, "rejected": {"limit": 0}}.get(ending, {})
    batch = arguments(service, reply_to=REPLY, **more)
    if ending == "cancelled":
        batch["user_ids"] = [str(UUID(int=n)) for n in range(20_000)]
    push(broker, envelope(batch))
    if ending == "cancelled":
        wait_for(lambda: job(service, batch["job_id"]) != {}, SECONDS)
        service.client.post(f"/api/jobs/{batch['job_id']}/cancel", None)
    announcement = popped(broker, REPLY)
    assert announcement["type"] == f"job.{ending}"
    jsonschema.validate(announcement, SCHEMAS["announcement.v1.json"], format_checker=jsonschema.FormatChecker())


def test_a_dead_letter_looks_as_shown(broker: redis.Redis) -> None:
    shown = json.loads(GUIDE.code("dead letter"))
    raw = json.dumps(envelope({}, task=f"{BATCH_TASK[:-1]}9"))
    push(broker, raw)
    letter = popped(broker, DEAD)
    alike(shown, letter)
    assert (letter["reason"], letter["queue"], base64.b64decode(letter["raw"]).decode()) == (
        shown["reason"],
        shown["queue"],
        raw,
    )
    jsonschema.validate(letter, SCHEMAS["dead-letter.v1.json"], format_checker=jsonschema.FormatChecker())


DEAD_LETTERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "no JSON": lambda batch: "hello",
    "no `job_id`": lambda batch: envelope({"user_ids": batch["user_ids"]}),
    "another task": lambda batch: envelope(batch, task="model.train.v1"),
    "an `eta`": lambda batch: envelope(batch, eta="2036-01-01T00:00:00Z"),
    "a callback": lambda batch: envelope(batch, embed={"callbacks": [{"task": "model.train.v1"}]}),
    "`expires` has passed": lambda batch: envelope(batch, expires="2026-01-01T00:00:00Z"),
}


@pytest.mark.parametrize("case", DEAD_LETTERS)
def test_what_the_table_calls_a_dead_letter_is_one(service: Service, broker: redis.Redis, case: str) -> None:
    told = [row[0] for row in table(GUIDE.section("3. What becomes of a message"), "you publish") if "dead" in row[1]]
    assert any(case in text for text in told)
    batch = arguments(service)
    letter = DEAD_LETTERS[case](batch)
    push(broker, letter)
    assert base64.b64decode(popped(broker, DEAD)["raw"]).decode() == (
        letter if isinstance(letter, str) else json.dumps(letter)
    )
    assert job(service, batch["job_id"]) == {}


def test_the_same_job_id_is_the_same_job_whatever_is_published(service: Service, broker: redis.Redis) -> None:
    batch = arguments(service)
    push(broker, envelope(batch))
    first = ended(service, batch["job_id"])
    for again in (batch, batch | {"limit": 7}, batch | {"limit": 0}):
        push(broker, envelope(again))
    other = arguments(service)
    push(broker, envelope(other))  # the last of them: when it is done, those before are
    ended(service, other["job_id"])
    assert job(service, batch["job_id"]) == first


# Its tables.


def fields(schema: Mapping[str, Any], root: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, bool]]:
    """Every field of a message, dotted, and whether it is needed."""
    for name, rules in schema["properties"].items():
        if "$ref" in rules:
            yield from fields(root["$defs"][rules["$ref"].rpartition("/")[2]], root, f"{name}.")
        else:
            yield prefix + name, name in schema.get("required", ())


def test_the_table_of_the_message_has_its_fields() -> None:
    schema = SCHEMAS["envelope.v2.json"]
    rows = {names(row[0])[0]: row[1] == "yes" for row in table(GUIDE.section("2. The message"), "field")}
    assert rows == dict(fields(schema, schema))


def test_what_the_table_says_is_needed_is_and_the_rest_is_not() -> None:
    for row in table(GUIDE.section("2. The message"), "field"):
        whole = envelope({"job_id": str(uuid4())})
        *outer, name = names(row[0])[0].split(".")
        (whole[outer[0]] if outer else whole).pop(name, None)
        if row[1] == "yes":
            with pytest.raises(Refused, match=name):
                read_envelope(QUEUE, json.dumps(whole).encode())
        else:
            assert read_envelope(QUEUE, json.dumps(whole).encode()).task == BATCH_TASK


def test_the_table_of_arguments_is_the_contract() -> None:
    rows = table(GUIDE.section("2. The message"), "argument")
    asked = table(Guide("INTEGRATION.md").section("3.2 What may be asked of a list"), "option")
    assert wrong_parameters([*rows, *asked], BatchMessage) == []


def test_the_body_shown_holds_a_batch() -> None:
    [body] = [json.loads(block.text) for block in GUIDE.blocks if block.language == "json" and block.text[0] == "["]
    assert body[0] == [] and body[2] is None
    jsonschema.validate(body[1], SCHEMAS["batch.v1.json"])


# Callbacks.

HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature")
BODY = json.dumps({"type": "job.completed", "data": {"job_id": "1", "title": "Amélie"}}, ensure_ascii=False)
Call = dict[str, str]  # headers, and the body


def made(age: float = 0) -> Call:
    """A callback as the worker makes it, so many seconds ago."""
    with Receiver() as receiver:
        policy = CallbackPolicy(frozenset([f"127.0.0.1:{receiver.port}"]), (ip_network("127.0.0.0/8"),))
        at = datetime.now(UTC) - timedelta(seconds=age)
        Webhook(policy, [SECRET], seconds=5).send(f"http://127.0.0.1:{receiver.port}/", "1", BODY.encode(), at)
        [call] = receiver.calls
    return {name: call.headers[name] for name in HEADERS} | {"body": call.body.decode()}


def signed_twice(call: Call) -> Call:
    return call | {"webhook-signature": f"v1,b2xk v2,{call['webhook-signature']} {call['webhook-signature']}"}


GENUINE: dict[str, Callable[[], Call]] = {
    "as it comes": made,
    "signed with an older secret, too": lambda: signed_twice(made()),
}
FORGED: dict[str, Callable[[], Call]] = {
    "another body": lambda: made() | {"body": BODY.replace("1", "2")},
    "another id": lambda: made() | {"webhook-id": "2"},
    "six minutes old": lambda: made(360),
    "another version's signature": lambda: (
        made() | {"webhook-signature": made()["webhook-signature"].replace("v1", "v2")}
    ),
}


def test_the_headers_shown_are_those_of_a_callback() -> None:
    assert {names(row[0])[0] for row in table(GUIDE.section("4.3 A callback"), "header")} == set(HEADERS)


@pytest.mark.parametrize("language", ["python", "javascript", "java"])
def test_the_verification_shown_believes_what_is_genuine_and_nothing_else(language: str) -> None:
    skip_unless_it_runs(language)
    program = "Verify" if language == "java" else "verify"
    believed = {}
    for case, call in (GENUINE | FORGED).items():
        came = call()
        done = Examples(language, {"CALLBACK_SECRET": SECRET}).run(
            program, *(came[name] for name in HEADERS), stdin=came["body"]
        )
        assert done.returncode == 0 or (done.returncode, done.stdout) == (1, ""), done.stderr
        believed[case] = done.returncode == 0
        assert "job.completed" in done.stdout or not believed[case]
    assert believed == dict.fromkeys(GENUINE, True) | dict.fromkeys(FORGED, False)


# Vectors.


def test_the_table_of_vectors_has_their_keys_and_ends() -> None:
    rows = {names(row[0])[0]: row[1] for row in table(GUIDE.section("11. Vectors"), "key")}
    assert set(rows) == {key for vector in VECTORS for key in vector}
    assert set(names(rows["expect"])) == {vector["expect"] for vector in VECTORS}


def test_every_vector_becomes_what_it_should_when_it_is_replayed(service: Service, broker: redis.Redis) -> None:
    done = Examples.of("python", service).run("replay", service.sample.users[0].id)
    count = sum(vector["queue"] == QUEUE for vector in VECTORS)
    assert (done.returncode, done.stdout) == (
        0,
        f"{count} of {count} messages became what they should\n",
    ), done.stdout + done.stderr
    assert broker.llen(DEAD) == sum((vector["queue"], vector["expect"]) == (QUEUE, "dead") for vector in VECTORS)


def test_a_vector_that_becomes_something_else_is_named(service: Service, tmp_path: Path) -> None:
    [good] = [vector for vector in VECTORS if vector["name"] == "the least message that runs"]
    file = tmp_path / "vectors.json"
    file.write_text(json.dumps({"vectors": [good | {"expect": "rejected"}]}), encoding="utf-8")
    done = Examples.of("python", service).run("replay", service.sample.users[0].id, str(file))
    assert done.returncode == 1
    assert done.stdout.startswith("wrong: the least message that runs: expected rejected, found ")
