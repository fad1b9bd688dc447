"""The guard on RabbitMQ: whatever is on the queue, the worker lives, and every message is accounted for."""

from __future__ import annotations

import base64
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from struct import pack
from typing import Any, Final
from uuid import UUID, uuid4

import pytest
from amqp.basic_message import Message

from demo.servers import Postgres, Valkey
from shared.contracts import BATCH_TASK, CHUNK_TASK, DEAD_SUFFIX, QUEUE, WORK_QUEUE
from tests.platform import Platform, wait_for
from tests.processes import WorkerProcess
from tests.rabbitmq import RabbitMQ
from tests.vectors import VECTORS

USER: Final = uuid4()
REQUEST_BYTES: Final = 50_000
MOST_BYTES: Final = 2 * REQUEST_BYTES  # of a message
KEPT: Final = 1024  # bytes of a message that is larger

# What is wrong with a message in a way that only Redis's envelope can be.
ENVELOPES_OWN: Final = re.compile("message: |missing|properties|headers: |body: (missing|not a string|not base64)")


@dataclass(frozen=True)
class Letter:
    """A message and what must become of it, as in vectors.json."""

    name: str
    queue: str
    message: Message
    expect: str
    reason: str
    job_id: UUID

    @property
    def kept(self) -> bytes:
        """What its dead letter holds."""
        return self.message.body if len(self.message.body) <= MOST_BYTES else self.message.body[:KEPT]


def message(
    body: bytes, *, headers: Any = None, content_type: Any = "application/json", content_encoding: Any = "utf-8"
) -> Message:
    """A message with those of its properties that are not None."""
    properties = {
        "application_headers": headers,
        "content_type": content_type,
        "content_encoding": content_encoding,
    }
    return Message(body, **{name: value for name, value in properties.items() if value is not None})


# The vectors, in AMQP's words.


def translated(vector: Mapping[str, str]) -> Letter | None:
    """A vector whose envelope is AMQP's own; None when that cannot be."""
    if ENVELOPES_OWN.match(vector.get("reason", "")):
        return None
    job_id = uuid4()
    ids = {"{job_id}": lambda: job_id, "{user_id}": lambda: USER, "{uuid}": uuid4}

    def filled(text: str) -> str:
        return re.sub("|".join(map(re.escape, ids)), lambda found: str(ids[found[0]]()), text)

    envelope = json.loads(filled(vector["raw"]))
    if ("body" in vector) != (envelope["properties"].get("body_encoding") == "base64"):
        return None
    body = filled(vector.get("body") or envelope["body"])
    described = {name.replace("-", "_"): envelope.get(name) for name in ("content-type", "content-encoding")}
    if not all(isinstance(value, str | None) for value in described.values()):
        return None
    sent = message(body.encode(), headers=envelope["headers"], **described)
    return Letter(vector["name"], vector["queue"], sent, vector["expect"], vector.get("reason", ""), job_id)


# What only AMQP can say.

HEADERS: Final = {"task": BATCH_TASK, "id": "an id"}


class Raw(Message):
    """A message with properties that py-amqp would not write."""

    def __init__(self, body: bytes, properties: bytes) -> None:
        super().__init__(body)
        self._raw = properties

    def _serialize_properties(self) -> bytes:
        return self._raw


def header(value: bytes) -> bytes:
    """Properties with one header, its value as AMQP has it, type first."""
    table = b"\x01h" + value
    return pack(">HI", 0x2000, len(table)) + table


def nested(depth: int) -> bytes:
    value = b"V"
    for _ in range(depth):
        value = pack(">cI", b"A", len(value)) + value
    return value


def batch() -> bytes:
    return json.dumps([[], {"job_id": str(uuid4()), "user_ids": [str(USER)]}, {}]).encode()


AMQPS_OWN: Final[dict[str, tuple[Message, str]]] = {
    "nothing": (message(b"", content_type=None, content_encoding=None), "content-type: missing"),
    "a batch without properties": (message(batch(), content_type=None, content_encoding=None), "content-type: missing"),
    "a batch without headers": (message(batch()), "headers.task: missing"),
    "a gzipped body": (message(b"\x1f\x8b", headers=HEADERS, content_encoding="gzip"), "content-encoding: "),
    "a task in bytes": (message(batch(), headers=HEADERS | {"task": b"\xff\xfe"}), "headers.task: "),
    "an id that is a table": (message(batch(), headers=HEADERS | {"id": {"x": 1}}), "headers.id: not a string"),
    "an expiry as AMQP's timestamp": (
        message(batch(), headers=HEADERS | {"expires": datetime(2030, 1, 1)}),
        "headers.expires: not a time with its offset",
    ),
    "the service's own task": (message(batch(), headers=HEADERS | {"task": CHUNK_TASK}), "headers.task: "),
    "a body in base64": (message(base64.b64encode(batch()), headers=HEADERS), "body: not JSON"),
    "a body that is not UTF-8": (message(batch() + b"\xff", headers=HEADERS), "body: not JSON"),
    "more than is read": (message(b"x" * (MOST_BYTES + 1), headers=HEADERS), f"{MOST_BYTES + 1} bytes"),
    "a date after the year 9999": (Raw(batch(), header(b"T" + pack(">Q", 2 * 10**12))), "properties: cannot be read"),
    "a content type that is not UTF-8": (Raw(batch(), b"\x80\x00\x02\xff\xfe"), "properties: cannot be read"),
    "lists without end": (Raw(batch(), header(nested(5000))), "properties: cannot be read"),
}

LETTERS: Final = [letter for vector in VECTORS if (letter := translated(vector)) is not None] + [
    Letter(name, QUEUE, sent, "dead", reason, uuid4()) for name, (sent, reason) in AMQPS_OWN.items()
]


@dataclass(frozen=True)
class Replayed:
    """Every letter, sent to one worker."""

    platform: Platform
    worker: WorkerProcess
    reasons: Mapping[tuple[str, bytes], list[str]]


@pytest.fixture(scope="module")
def replayed(
    postgres: Postgres, valkey: Valkey, rabbitmq: RabbitMQ, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Replayed]:
    folder = tmp_path_factory.mktemp("rabbitmq-messages")
    platform = Platform(postgres, valkey, folder / "models", prefix="rabbitmq_messages_", redis_db=8)
    platform.broker_url = rabbitmq.url
    platform.title("A title", "Drama")
    platform.user("Drama", user_id=USER)
    queues = (QUEUE, WORK_QUEUE)
    with WorkerProcess(platform, folder / "worker.log", request_bytes=REQUEST_BYTES) as worker:
        with rabbitmq.channel() as channel:
            for queue in queues:
                channel.queue_delete(queue + DEAD_SUFFIX)  # what others have left there
            for letter in LETTERS:
                channel.basic_publish(letter.message, routing_key=letter.queue)
        dead = [letter for letter in LETTERS if letter.expect == "dead"]
        wait_for(lambda: sum(rabbitmq.waiting(queue + DEAD_SUFFIX) for queue in queues) >= len(dead), 30)
        wait_for(lambda: sum(rabbitmq.waiting(queue) for queue in queues) == 0, 30)
        reasons = defaultdict(list)
        for queue in queues:
            while (document := rabbitmq.take(queue + DEAD_SUFFIX)) is not None:
                kept = json.loads(document.body)
                reasons[kept["queue"], base64.b64decode(kept["raw"])].append(kept["reason"])
        yield Replayed(platform, worker, reasons)
    platform.close()


def by_name(*ends: str) -> pytest.MarkDecorator:
    letters = [letter for letter in LETTERS if letter.expect in ends]
    return pytest.mark.parametrize("letter", letters, ids=[letter.name for letter in letters])


@by_name("accepted")
def test_what_is_a_message_is_worked_on(replayed: Replayed, letter: Letter) -> None:
    if letter.queue == QUEUE:
        wait_for(lambda: replayed.platform.job(letter.job_id) == ("completed", None), 10)
    assert (letter.queue, letter.kept) not in replayed.reasons


@by_name("rejected")
def test_what_is_refused_under_a_name_is_a_rejected_job(replayed: Replayed, letter: Letter) -> None:
    wait_for(lambda: replayed.platform.job(letter.job_id) is not None, 10)
    state, problem = replayed.platform.job(letter.job_id)
    assert state == "rejected"
    assert letter.reason in json.dumps(problem)
    assert (letter.queue, letter.kept) not in replayed.reasons


@by_name("dead")
def test_what_is_no_message_is_a_dead_letter_with_its_body_and_the_reason(replayed: Replayed, letter: Letter) -> None:
    assert any(letter.reason in reason for reason in replayed.reasons[letter.queue, letter.kept])
    assert replayed.platform.job(letter.job_id) is None


def test_every_message_is_accounted_for_once_by_the_worker_that_was_there(replayed: Replayed) -> None:
    assert len(LETTERS) > 100
    dead = [reason for reasons in replayed.reasons.values() for reason in reasons]
    assert len(dead) == len([letter for letter in LETTERS if letter.expect == "dead"])
    assert replayed.worker.process.running
    assert replayed.worker.log().count("is ready: ") == 1
