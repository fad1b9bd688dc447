"""docs/messages/publisher.acl on a real server: who publishes can do that, hear of the end, and nothing else."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import redis
from celery import Celery
from kombu import Connection, Queue
from kombu.exceptions import OperationalError

from demo.binaries import valkey_program
from demo.process import PROJECT, Process
from demo.server import free_port
from demo.servers import Valkey
from shared.contracts import BATCH_TASK, DEAD_SUFFIX, QUEUE, REPLY_PREFIX, WORK_QUEUE
from tests.acl import allowed, set_user, snapshot, users, without_one
from tests.platform import wait_for

FILE = PROJECT / "docs" / "messages" / "publisher.acl"
PASSWORD = "p/w: @"
URL_PASSWORD = "p%2Fw%3A%20%40"
DEAD = QUEUE + DEAD_SUFFIX
REPLY = REPLY_PREFIX + "tests"
AT_ONCE = {"max_retries": 1, "interval_start": 0, "interval_step": 0}  # what is forbidden stays so
NOTHING = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


USERS = users(FILE)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """A server of this module's own: some of what is forbidden would end it."""
    with Valkey(tmp_path_factory.mktemp("acl") / "data", appendonly=False) as valkey:
        yield valkey


@pytest.fixture
def broker(server: Valkey) -> Iterator[redis.Redis]:
    """Its administrator; with a message in every queue, and the users of the file."""
    with redis.Redis.from_url(server.url(1)) as admin:
        admin.flushall()
        for queue in (QUEUE, WORK_QUEUE, DEAD, REPLY):
            admin.lpush(queue, "a message")
        admin.hset("unacked", "tag", "a message")
        admin.zadd("unacked_index", {"tag": 1})
        admin.sadd(f"_kombu.binding.{QUEUE}", "a binding")
        for name, rules in USERS.items():
            set_user(admin, name, PASSWORD, rules)
        yield admin


def as_user(server: Valkey, name: str) -> str:
    return server.url(1).replace("redis://", f"redis://{name}:{URL_PASSWORD}@")


ANY_KEY = (QUEUE, WORK_QUEUE, DEAD, REPLY, "unacked", "rec:anything")
FORBIDDEN = [
    # other queues
    f"LPUSH {WORK_QUEUE} x", f"LPUSH {DEAD} x", f"LPUSH {REPLY} x", f"LLEN {WORK_QUEUE}", f"RPOP {WORK_QUEUE}",
    f"BRPOP {WORK_QUEUE} 1", f"BRPOP {DEAD} 1", f"LRANGE {WORK_QUEUE} 0 -1", f"LRANGE {DEAD} 0 -1",
    # what others have published
    f"RPOP {QUEUE}", f"LPOP {QUEUE}", f"BRPOP {QUEUE} 1", f"BLPOP {QUEUE} 1", f"LRANGE {QUEUE} 0 -1",
    f"LINDEX {QUEUE} 0", f"BRPOP {REPLY} {QUEUE} 1", f"LMPOP 1 {QUEUE} LEFT", f"BLMPOP 1 1 {QUEUE} LEFT",
    f"RPOPLPUSH {QUEUE} {REPLY}", f"LMOVE {QUEUE} {REPLY} LEFT LEFT",
    f"LTRIM {QUEUE} 1 0", f"LSET {QUEUE} 0 x", f"LREM {QUEUE} 0 x", f"LINSERT {QUEUE} BEFORE x y", f"RPUSH {QUEUE} x",
    # keys of any kind
    *(f"{command} {key}" for command in ("DEL", "UNLINK", "DUMP", "TYPE", "GET", "PERSIST") for key in ANY_KEY),
    *(f"{command} {key} 1" for command in ("EXPIRE", "RENAME", "SET") for key in ANY_KEY),
    f"COPY {QUEUE} {REPLY}", f"SORT {QUEUE} BY nosort STORE {REPLY}", f"OBJECT ENCODING {QUEUE}", f"SETEX {REPLY} 1 x",
    # the broker's own bookkeeping
    "HGETALL unacked", "HGET unacked tag", "HDEL unacked tag", "HSET unacked tag x", "ZRANGE unacked_index 0 -1",
    "ZREM unacked_index tag", f"SMEMBERS _kombu.binding.{QUEUE}", f"SREM _kombu.binding.{QUEUE} x",
    f"SADD _kombu.binding.{WORK_QUEUE} x", f"SADD {REPLY} x",
    # looking around
    "KEYS *", "SCAN 0", "RANDOMKEY", "DBSIZE", "INFO", "MONITOR", "CLIENT LIST", "CONFIG GET *", "ACL LIST",
    "ACL WHOAMI", "COMMAND", "SLOWLOG GET", "MEMORY USAGE recommendations", "SUBSCRIBE any",
    "PSUBSCRIBE *", "PUBLISH any x",
    # breaking things
    "FLUSHDB", "FLUSHALL", "SWAPDB 0 1", "CONFIG SET maxmemory 1", "CONFIG REWRITE", "EVAL redis.call('flushall') 0",
    "EVALSHA 0 0", "FUNCTION FLUSH", "SCRIPT FLUSH", "CLIENT KILL TYPE normal", "CLIENT PAUSE 1000",
    "SHUTDOWN NOSAVE", "SAVE", "BGSAVE", "REPLICAOF 127.0.0.1 1", "ACL SETUSER publisher +@all",
    f"MIGRATE 127.0.0.1 1 {QUEUE} 0 100", f"RESTORE {REPLY} 0 x",
]  # fmt: skip


def test_what_a_publisher_has_no_business_with_is_forbidden(server: Valkey, broker: redis.Redis) -> None:
    assert len(set(FORBIDDEN)) == len(FORBIDDEN) > 100
    before = snapshot(broker)
    with redis.Redis.from_url(as_user(server, "publisher"), socket_timeout=5) as publisher:
        assert allowed(publisher, FORBIDDEN) == []
    assert snapshot(broker) == before


def with_kombu(url: str) -> None:
    with Connection(url, transport_options=AT_ONCE) as connection, connection.Producer() as producer:
        producer.publish([[], {}, NOTHING], headers={"task": BATCH_TASK, "id": str(uuid4())}, routing_key=QUEUE)


def with_celery(url: str, declare: list[Queue] | None = None) -> None:
    app = Celery(broker=url, set_as_current=False)
    app.conf.broker_transport_options = AT_ONCE
    options = {} if declare is None else {"declare": declare}
    with app.connection_for_write() as connection:
        app.send_task(BATCH_TASK, queue=QUEUE, ignore_result=True, retry=False, connection=connection, **options)


def listen(url: str) -> None:
    with redis.Redis.from_url(url, socket_timeout=5) as client:
        assert client.brpop([REPLY], timeout=1) == (REPLY.encode(), b"a message")


def journey(url: str) -> None:
    """All that a publisher does. Whatever is simpler than kombu and Celery does less."""
    with_kombu(url)
    with_celery(url, declare=[])
    listen(url)


def test_a_publisher_can_publish_and_hear_of_the_end(server: Valkey, broker: redis.Redis) -> None:
    journey(as_user(server, "publisher"))
    assert broker.llen(QUEUE) == 3


def test_celery_may_publish_but_not_declare_the_queue(server: Valkey, broker: redis.Redis) -> None:
    with pytest.raises(OperationalError, match="permission"):
        with_celery(as_user(server, "publisher"))


@pytest.mark.parametrize("rules", [pytest.param(rules, id=word) for word, rules in without_one(USERS["publisher"])])
def test_nothing_that_is_granted_could_be_left_out(server: Valkey, broker: redis.Redis, rules: list[str]) -> None:
    set_user(broker, "publisher", PASSWORD, rules)
    with pytest.raises(Exception, match=r"(?i)permission"):
        journey(as_user(server, "publisher"))


def test_a_server_can_load_the_file_at_its_start(tmp_path: Path) -> None:
    port = free_port()
    file = tmp_path / "users.acl"
    file.write_text("user default on nopass ~* &* +@all\n" + FILE.read_text(encoding="utf-8"), encoding="utf-8")
    options = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", str(tmp_path), "--aclfile", str(file)]
    server = Process([valkey_program(), *options], log=tmp_path / "log", stop_signal=signal.SIGTERM)
    try:
        with redis.Redis(port=port) as admin:
            wait_for(lambda: answers(admin), seconds=10)
            assert set(admin.acl_users()) == {"default", *USERS}
    finally:
        server.stop()


def answers(client: redis.Redis) -> bool:
    try:
        return client.ping()
    except redis.ConnectionError:
        return False
