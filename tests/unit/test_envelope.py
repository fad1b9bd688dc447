"""Reading a message: whatever the bytes, it is understood, or refused with a reason that goes on a dead letter."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from celery import Celery
from celery.worker.request import Request
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kombu import Connection, Producer, Queue
from kombu.utils import json as kombu_json

from shared.contracts import BATCH_TASK, CHUNK_TASK, DEAD_SUFFIX, QUEUE, TRAIN_TASK, WORK_QUEUE
from shared.errors import BrokerUnavailable
from tests.messages import ANYTHING, message
from worker.guard.dead_letters import DeadLetters
from worker.guard.envelope import Refused, TaskMessage, read_amqp, read_envelope
from worker.guard.guard import Guard, NotAdmitted


def sent(publish: Callable[[Celery], Any]) -> bytes:
    """What a publisher puts on the queue, by the real library but on a queue in memory."""
    app = Celery(broker="memory://", set_as_current=False)
    with app.connection_for_write() as connection:
        queue = Queue(QUEUE)
        publish(app)
        channel = connection.channel()
        payload = channel._get(queue.name)
        assert channel._size(queue.name) == 0
    return kombu_json.dumps(payload).encode()


def celery_sends(**options: Any) -> bytes:
    kwargs = {"job_id": str(uuid4()), "user_ids": [str(uuid4())], "limit": 3}
    return sent(lambda app: app.send_task(BATCH_TASK, **({"kwargs": kwargs, "queue": QUEUE} | options)))


def kombu_sends() -> bytes:
    def publish(app: Celery) -> None:
        with Connection("memory://") as connection:
            Producer(connection).publish(
                [[], {"job_id": str(uuid4()), "user_ids": [str(uuid4())]}, None],
                routing_key=QUEUE,
                declare=[Queue(QUEUE)],
                serializer="json",
                headers={"task": BATCH_TASK, "id": str(uuid4())},
            )

    return sent(publish)


CONSUMER = Celery(broker="memory://", set_as_current=False)


@CONSUMER.task(name=BATCH_TASK, shared=False)
def batch(**_: Any) -> None:
    """Takes anything."""


def understood(raw: bytes) -> TaskMessage | None:
    """What the guard makes of raw bytes; what it lets through, Celery can take."""
    try:
        admitted = read_envelope(QUEUE, raw)
    except Refused as refused:
        assert str(refused)
        return None
    payload = kombu_json.loads(kombu_json.dumps(admitted.envelope(QUEUE)))
    with CONSUMER.connection_for_read() as connection:
        request = Request(connection.channel().message_to_python(payload), app=CONSUMER)
    assert (request.name, request.id, request.args) == (BATCH_TASK, admitted.id, [])
    assert request.kwargs == admitted.arguments
    assert (request.eta, request.expires, request.time_limits) == (None, None, (None, None))
    assert read_envelope(QUEUE, kombu_json.dumps(payload).encode()) == admitted  # put back, it comes through again
    return admitted


def paths(document: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON document."""
    yield here
    places = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for name, value in places:
        yield from paths(value, (*here, name))


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(celery_sends(), id="Celery, as it is"),
        pytest.param(celery_sends(time_limit=5, soft_time_limit=3, shadow="x", priority=5), id="Celery with limits"),
        pytest.param(celery_sends(expires=3600), id="Celery, expiry"),
        pytest.param(celery_sends(headers={"traceparent": "x"}, root_id="r", parent_id="p"), id="Celery with headers"),
        pytest.param(celery_sends(reply_to="somewhere", group_id=str(uuid4()), retries=3), id="Celery, group"),
        pytest.param(celery_sends(stamped_headers=["a"], a="1"), id="Celery, stamps"),
        pytest.param(celery_sends(kwargs={"job_id": uuid4(), "user_ids": [uuid4()]}), id="Celery, UUIDs"),
        pytest.param(kombu_sends(), id="kombu"),
    ],
)
def test_what_publishers_in_python_send_is_understood(raw: bytes) -> None:
    admitted = understood(raw)
    assert admitted is not None
    assert UUID(admitted.arguments["job_id"])


@given(st.binary(max_size=200) | ANYTHING.map(lambda value: json.dumps(value).encode()))
def test_no_bytes_raise_anything_but_a_refusal(raw: bytes) -> None:
    assert understood(raw) is None


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.data(),
    st.sampled_from([celery_sends(), kombu_sends(), message({"job_id": str(uuid4()), "user_ids": []})]),
    ANYTHING,
)
def test_a_real_message_with_one_thing_changed_is_understood_or_refused(
    data: st.DataObject, raw: bytes, value: Any
) -> None:
    envelope = json.loads(raw)
    encoded = envelope["properties"].get("body_encoding") == "base64"
    envelope["body"] = json.loads(base64.b64decode(envelope["body"]) if encoded else envelope["body"])
    *way, last = data.draw(st.sampled_from([path for path in paths(envelope) if path]))
    place = envelope
    for step in way:
        place = place[step]
    if data.draw(st.booleans()):
        place[last] = value
    else:
        del place[last]
    if "body" in envelope:
        text = json.dumps(envelope["body"])
        envelope["body"] = base64.b64encode(text.encode()).decode() if encoded else text
    understood(json.dumps(envelope).encode())


@given(
    st.dictionaries(st.sampled_from(["content_type", "content_encoding", "application_headers"]), ANYTHING), ANYTHING
)
def test_the_same_holds_for_rabbitmq(properties: dict[str, Any], body: Any) -> None:
    with pytest.raises(Refused):
        read_amqp(WORK_QUEUE, properties, json.dumps(body).encode())


def test_on_rabbitmq_the_envelope_is_amqps_own() -> None:
    arguments = {"job_id": str(uuid4()), "chunk_no": 3}
    properties = {
        "content_type": "application/json",
        "content_encoding": "utf-8",
        "application_headers": {"task": CHUNK_TASK, "id": "1", "timelimit": "no"},
    }
    admitted = read_amqp(WORK_QUEUE, properties, json.dumps([[], arguments, {}]).encode())
    assert admitted == TaskMessage(CHUNK_TASK, "1", arguments)
    assert orjson.loads(admitted.body)[:2] == [[], arguments]


def test_a_training_takes_no_arguments() -> None:
    properties = {"content_type": "application/json", "application_headers": {"task": TRAIN_TASK, "id": "1"}}
    assert read_amqp(WORK_QUEUE, properties, b"[[], {}, null]").arguments == {}


def test_our_own_mistake_makes_a_dead_letter_too() -> None:
    letters: list[tuple[str, bytes]] = []

    def mistake() -> TaskMessage:
        raise RecursionError("too deep")

    guard = Guard(DeadLetters(lambda queue, letter, _: letters.append((queue, letter)), seconds=60), most_bytes=10)
    with pytest.raises(NotAdmitted) as refused:
        guard.admit(QUEUE, b"raw", mistake)
    assert refused.value.kept
    [(queue, letter)] = letters
    assert (queue, json.loads(letter)["raw"]) == (QUEUE + DEAD_SUFFIX, base64.b64encode(b"raw").decode())
    assert "RecursionError" in json.loads(letter)["reason"]
    assert "too deep" not in json.loads(letter)["reason"]


def test_a_dead_letter_that_nobody_takes_is_in_the_log_without_its_contents(caplog: pytest.LogCaptureFixture) -> None:
    def down(*_: object) -> None:
        raise BrokerUnavailable("out of memory")

    assert not DeadLetters(down, seconds=60).put(QUEUE, b"secret", "no ANYTHING")
    [record] = caplog.records
    assert record.levelname == "ERROR"
    assert "no ANYTHING" in record.message
    assert "6 bytes" in record.message
    assert "secret" not in record.message
