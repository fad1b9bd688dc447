"""docs/messages/rabbitmq.json on a real server: the service and who publishes can do their work, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import quote
from uuid import uuid4

import pytest
from amqp.exceptions import AccessRefused
from celery import Celery
from kombu import Connection
from kombu.entity import PERSISTENT_DELIVERY_MODE

from shared import broker
from shared.contracts import BATCH_TASK, DEAD_SUFFIX, QUEUE, REPLY_PREFIX, WORK_QUEUE
from shared.errors import BrokerUnavailable
from shared.job_states import ChunkRef
from tests.examples import Examples
from tests.guides import DOCS, Guide, names, table
from tests.platform import Platform
from tests.rabbitmq import OPTIONS, RabbitMQ
from worker.guard.envelope import read_amqp

FILE: Final = DOCS / "messages" / "rabbitmq.json"
DEFINITIONS: Final[dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))
SERVICE, PUBLISHER = (user["name"] for user in DEFINITIONS["users"])
RIGHTS: Final = ("configure", "write", "read")
[EXCHANGE] = [exchange["name"] for exchange in DEFINITIONS["exchanges"]]
REPLY: Final = f"{REPLY_PREFIX}{PUBLISHER}"
ANOTHERS_REPLY: Final = f"{REPLY_PREFIX}another"
QUEUES: Final = (QUEUE, WORK_QUEUE, QUEUE + DEAD_SUFFIX, ANOTHERS_REPLY)
NOTHING: Final = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


@pytest.fixture(scope="module")
def server(rabbitmq: RabbitMQ, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """Where the definitions were imported, and for each of their users one for each right, who lacks it."""
    lacking = tmp_path_factory.mktemp("definitions") / "lacking.json"
    lacking.write_text(json.dumps(without_one_right()), encoding="utf-8")
    delete_all(rabbitmq)
    for file in (FILE, lacking):
        rabbitmq.control("import_definitions", str(file))
    yield rabbitmq
    delete_all(rabbitmq)


def without_one_right() -> dict[str, list[dict[str, Any]]]:
    names = {(user, right): f"{user} without {right}" for user in (SERVICE, PUBLISHER) for right in RIGHTS}
    return {
        "users": [user | {"name": names[user["name"], right]} for user in DEFINITIONS["users"] for right in RIGHTS],
        "permissions": [
            permission | {"user": names[permission["user"], right], right: "^$"}
            for permission in DEFINITIONS["permissions"]
            for right in RIGHTS
        ],
    }


def delete_all(server: RabbitMQ) -> None:
    with server.channel() as channel:
        channel.exchange_delete(EXCHANGE)
        for queue in (*QUEUES, REPLY):
            channel.queue_delete(queue)


def url(server: RabbitMQ, user: str) -> str:
    [password] = [known["password"] for known in DEFINITIONS["users"] if user.startswith(known["name"])]
    return server.url_of(quote(user), password)


# What the service does.


def declare(app: Celery) -> None:
    with app.connection_for_read() as connection, connection.channel() as channel:
        for queue in (QUEUE, WORK_QUEUE):
            app.amqp.queues[queue](channel).declare()


def read(app: Celery) -> None:
    with app.connection_for_read() as connection, connection.channel() as channel:
        for queue in (QUEUE, WORK_QUEUE):
            channel.basic_get(queue)


def service(url: str, platform: Platform) -> None:
    """All that it does on RabbitMQ."""
    ours = broker.celery_app(platform.settings(broker_url=url), "tests")
    declare(ours)
    read(ours)
    broker.publisher(ours)([ChunkRef(uuid4(), 0)])
    broker.reply_sender(ours)(ANOTHERS_REPLY, b"{}", 60)
    broker.dead_letter_sender(ours, most=10)(QUEUE + DEAD_SUFFIX, b"{}", 60)
    broker.ping(ours)


def test_the_service_can_do_its_work(server: RabbitMQ, platform: Platform) -> None:
    service(url(server, SERVICE), platform)


# What a publisher does.


def with_kombu(url: str) -> None:
    with Connection(url, transport_options=OPTIONS) as connection, connection.Producer() as producer:
        headers = {"task": BATCH_TASK, "id": str(uuid4())}
        producer.publish([[], {}, NOTHING], headers=headers, exchange=EXCHANGE, routing_key=QUEUE, mandatory=True)


def with_celery(url: str) -> None:
    app = Celery(broker=url, set_as_current=False)
    app.conf.broker_transport_options = OPTIONS
    app.send_task(BATCH_TASK, exchange=EXCHANGE, routing_key=QUEUE, declare=[], ignore_result=True, retry=False)


def listen(url: str) -> None:
    with Connection(url, transport_options=OPTIONS) as connection, connection.channel() as channel:
        channel.queue_declare(REPLY, durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"})
        channel.basic_get(REPLY, no_ack=True)


def publisher(url: str, _: Platform) -> None:
    """All that it does."""
    with_kombu(url)
    with_celery(url)
    listen(url)


def test_a_publisher_can_publish_and_hear_of_the_end(server: RabbitMQ, platform: Platform) -> None:
    before = server.waiting(QUEUE)
    publisher(url(server, PUBLISHER), platform)
    assert server.waiting(QUEUE) == before + 2


def test_the_example_publishes_a_batch_and_is_told_when_it_may_not(server: RabbitMQ) -> None:
    user, job_id = uuid4(), str(uuid4())
    with server.channel() as channel:
        channel.queue_purge(QUEUE)
    example = Examples("python", {"BROKER_URL": url(server, PUBLISHER), "LIMIT": "3"})
    assert example.lines("publish_rabbitmq", user, JOB_ID=job_id) == [f"job {job_id}, published"]
    message = server.take(QUEUE)
    assert message.properties["delivery_mode"] == PERSISTENT_DELIVERY_MODE
    batch = read_amqp(QUEUE, message.properties, message.body.encode())
    assert batch.task == BATCH_TASK
    assert batch.arguments == {"job_id": job_id, "user_ids": [str(user)], "limit": 3}
    for another in (url(server, f"{PUBLISHER} without write"), url(server, PUBLISHER).replace("choose", "guess")):
        done = example.run("publish_rabbitmq", user, BROKER_URL=another)
        assert (done.returncode, done.stdout) == (1, "")
        assert "error: the queue did not take the message: " in done.stderr


FORBIDDEN: Final[dict[str, Callable[[Any], Any]]] = {
    **{f"publish by the exchange {name!r}": lambda channel, name=name: channel.basic_publish(
        channel.prepare_message(b"x"), exchange=name, routing_key=WORK_QUEUE
    ) for name in ("", "amq.direct", "amq.fanout", "amq.topic")},
    **{f"read {queue}": lambda channel, queue=queue: channel.basic_get(queue) for queue in QUEUES},
    **{f"consume {queue}": lambda channel, queue=queue: channel.basic_consume(queue) for queue in QUEUES},
    **{f"empty {queue}": lambda channel, queue=queue: channel.queue_purge(queue) for queue in QUEUES},
    **{f"delete {queue}": lambda channel, queue=queue: channel.queue_delete(queue) for queue in QUEUES},
    **{f"bind {queue}": lambda channel, queue=queue: channel.queue_bind(queue, EXCHANGE, "x") for queue in QUEUES},
    "unbind the queue": lambda channel: channel.queue_unbind(QUEUE, EXCHANGE, QUEUE),
    "read what is called alike": lambda channel: channel.basic_get(f"{REPLY}s"),
    "declare a queue": lambda channel: channel.queue_declare("any"),
    "declare another's reply queue": lambda channel: channel.queue_declare(ANOTHERS_REPLY),
    "declare an exchange": lambda channel: channel.exchange_declare("any", "direct"),
    "delete the exchange": lambda channel: channel.exchange_delete(EXCHANGE),
}  # fmt: skip


@pytest.mark.parametrize("action", FORBIDDEN.values(), ids=FORBIDDEN)
def test_what_a_publisher_has_no_business_with_is_forbidden(
    server: RabbitMQ, platform: Platform, action: Callable[[Any], Any]
) -> None:
    with pytest.raises(AccessRefused), server.channel(url(server, PUBLISHER)) as channel:
        action(channel)


@pytest.mark.parametrize("right", RIGHTS)
@pytest.mark.parametrize(("user", "journey"), [(SERVICE, service), (PUBLISHER, publisher)], ids=[SERVICE, PUBLISHER])
def test_nothing_that_is_granted_could_be_left_out(
    server: RabbitMQ, platform: Platform, user: str, journey: Callable[[str, Platform], None], right: str
) -> None:
    with pytest.raises((AccessRefused, BrokerUnavailable), match="ACCESS_REFUSED"):
        journey(url(server, f"{user} without {right}"), platform)


def test_the_operators_guide_tells_the_rights_that_the_file_gives() -> None:
    rows = table(Guide("OPERATIONS.md").section("7.2 Rights"), "user")
    given = [[permission[key] for key in ("user", *RIGHTS)] for permission in DEFINITIONS["permissions"]]
    assert [names(" ".join(row)) for row in rows] == given
