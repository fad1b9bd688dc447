"""The service's users of docs/messages/service.acl do their work, and whoever has stolen one gets no further."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
import redis
from celery import Celery
from kombu import Connection, pools
from pydantic import SecretStr

from demo import acl
from demo.servers import Valkey
from shared import broker
from shared.contracts import DEAD_SUFFIX, QUEUE, REPLY_PREFIX, WORK_QUEUE
from shared.job_states import ChunkRef
from shared.redis_store import RedisStore
from shared.settings import Settings
from tests.acl import allowed, set_user, snapshot, users, without_one
from tests.guides import Guide, names, table
from tests.security.conftest import Told

WALL = "queue"
USERS = users(acl.FILE)
PASSWORDS = {name: f"p/w: @{secrets.token_urlsafe(8)}" for name in acl.USERS}
REPLY = REPLY_PREFIX + "tests"
SEPARATOR = "\x06\x16"  # kombu's, before a priority
KEPT = ("list:2:x", "title:1:x", "pin:1:x", "result:2:x", "trends:1:x")  # what the gateway keeps for itself
LIMIT = "rec:limits:LIMITER/x"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """A server of this module's own, with the users of the file."""
    folder = tmp_path_factory.mktemp("rights") / "data"
    with Valkey(folder, appendonly=False, passwords=PASSWORDS) as valkey:
        yield valkey


@pytest.fixture
def admin(server: Valkey) -> Iterator[redis.Redis]:
    """Its administrator; with something under every kind of key."""
    with redis.Redis.from_url(server.url(1, user="administrator")) as client:
        client.flushall()
        client.script_flush()
        for queue in (QUEUE, WORK_QUEUE, QUEUE + DEAD_SUFFIX, WORK_QUEUE + DEAD_SUFFIX, REPLY):
            client.lpush(queue, "a message")
        client.hset("unacked", "tag", "a message")
        client.zadd("unacked_index", {"tag": 1})
        client.set("unacked_mutex", "somebody")
        client.sadd(f"_kombu.binding.{QUEUE}", "a binding")
        for key in (*KEPT, LIMIT, "another's"):
            client.set(key, "x")
        for name in ("gateway", "worker"):
            set_user(client, name, PASSWORDS[name], USERS[name])
        yield client


def test_the_server_knows_the_users_of_the_file_and_nobody_without_a_password(
    server: Valkey, admin: redis.Redis, attack: Told
) -> None:
    assert set(admin.acl_users()) == {"default", *acl.USERS} == set(USERS)
    for address in (
        server.url(1),
        server.url(1).replace("//", "//:@"),
        server.url(1).replace("//", "//default:@"),
        server.url(1).replace("//", "//:default@"),
        server.url(1).replace("//", "//worker:wrong@"),
        server.url(1).replace("//", f"//gateway:{PASSWORDS['worker'].replace('/', '%2F')}@"),
    ):
        with redis.Redis.from_url(address, socket_timeout=5) as stranger:
            with pytest.raises((redis.AuthenticationError, redis.exceptions.ResponseError)) as seen:
                stranger.ping()
            assert not isinstance(seen.value, redis.exceptions.NoPermissionError)
    attack("reach the queue without a password, as default, with another user's", str(seen.value)[:40])


def test_no_password_is_kept_where_it_could_be_read(server: Valkey) -> None:
    file = server.directory / "users.acl"
    assert file.stat().st_mode & 0o777 == 0o600
    assert not [name for name, password in PASSWORDS.items() if password in file.read_text(encoding="utf-8")]


EVERY_KEY = (QUEUE, WORK_QUEUE, QUEUE + DEAD_SUFFIX, REPLY, "unacked", "unacked_index", *KEPT, LIMIT, "another's")
FOR_NOBODY = [
    # looking around
    "KEYS *", "SCAN 0", "RANDOMKEY", "DBSIZE", "INFO", "MONITOR", "CLIENT LIST", "CONFIG GET *", "ACL LIST",
    "ACL GETUSER administrator", "ACL WHOAMI", "ACL LOG", "COMMAND", "SLOWLOG GET", "MEMORY USAGE recommendations",
    "SUBSCRIBE any", "PSUBSCRIBE *", "PUBLISH any x", "LATENCY LATEST", "OBJECT ENCODING recommendations",
    # breaking things
    "FLUSHDB", "FLUSHALL", "SWAPDB 0 1", "CONFIG SET maxmemory 1", "CONFIG SET dir /tmp", "CONFIG REWRITE",
    "EVAL return 0", "EVAL redis.call('flushall') 0", "FUNCTION FLUSH", "FUNCTION LOAD x", "FCALL f 0",
    "SCRIPT FLUSH", "SCRIPT KILL", "CLIENT KILL TYPE normal", "CLIENT PAUSE 1000", "SHUTDOWN NOSAVE", "SAVE", "BGSAVE",
    "BGREWRITEAOF", "REPLICAOF 127.0.0.1 1", "SYNC", "PSYNC ? -1",
    "ACL SETUSER gateway +@all", "ACL SETUSER mine on nopass +@all", "ACL DELUSER worker", "ACL LOAD", "ACL SAVE",
    "CLUSTER MEET 127.0.0.1 1", "FAILOVER",
    # keys of any kind
    *(f"{command} {key}" for command in ("UNLINK", "DUMP", "TYPE", "PERSIST", "LPOP", "RPOP", "GETDEL", "SMEMBERS",
                                         "HGETALL") for key in EVERY_KEY),
    *(f"{command} {key} 1" for command in ("RENAME", "SETNX", "APPEND", "COPY", "SADD") for key in EVERY_KEY),
    *(f"LRANGE {key} 0 -1" for key in EVERY_KEY), *(f"RESTORE {key} 0 x" for key in EVERY_KEY),
    *(f"MIGRATE 127.0.0.1 1 {key} 0 100" for key in EVERY_KEY), *(f"SORT {key} BY nosort STORE x" for key in EVERY_KEY),
    f"LINDEX {QUEUE} 0", f"LMOVE {QUEUE} {REPLY} LEFT LEFT", f"LSET {QUEUE} 0 x", f"SREM _kombu.binding.{QUEUE} x",
    f"SADD _kombu.binding.{QUEUE} x", "GET another's", "SET another's 1", "DEL another's", "SET anything 1",
]  # fmt: skip
FOR_NO_GATEWAY = [
    # what is on the queue, and what workers keep there
    *(f"{command} {queue} 1" for command in ("BRPOP", "EXPIRE", "RPUSH") for queue in (QUEUE, WORK_QUEUE)),
    f"LTRIM {QUEUE} 1 0", f"LTRIM {WORK_QUEUE} 1 0",
    *(f"LPUSH {queue} x" for queue in (QUEUE, QUEUE + DEAD_SUFFIX, WORK_QUEUE + DEAD_SUFFIX, REPLY)),
    *(f"LLEN {queue}" for queue in (QUEUE, QUEUE + DEAD_SUFFIX, WORK_QUEUE + DEAD_SUFFIX, REPLY)),
    f"BRPOP {REPLY} 1", f"LPUSH {WORK_QUEUE}{SEPARATOR}3 x", f"GET {WORK_QUEUE}", f"MGET {WORK_QUEUE}",
    "HGET unacked tag", "HSET unacked tag x", "HDEL unacked tag", "WATCH unacked", "ZADD unacked_index 1 x",
    "ZRANGE unacked_index 0 -1", "ZREM unacked_index tag", "GET unacked_mutex", "SET unacked_mutex x",
    "DEL unacked_mutex", *(f"DEL {key}" for key in (*KEPT, LIMIT, QUEUE, WORK_QUEUE)),
    *(f"{command} {key}" for command in ("GET", "TTL") for key in KEPT), *(f"EXPIRE {key} 1" for key in KEPT),
    f"MGET list:2:x {WORK_QUEUE}", f"MGET {LIMIT}",
]  # fmt: skip
FOR_NO_WORKER = [
    # what gateways keep for callers, and limits of callers
    *(f"{command} {key}" for command in ("GET", "MGET", "DEL", "TTL") for key in (*KEPT, LIMIT)),
    *(f"SET {key} x" for key in (*KEPT, LIMIT) if not key.startswith("result:")), "SET result:2:x 1 GET",
    f"INCRBY {LIMIT} 1", f"EXPIRE {LIMIT} 1",
    # what is kept for people and other services, once it is written
    *(f"BRPOP {queue} 1" for queue in (QUEUE + DEAD_SUFFIX, WORK_QUEUE + DEAD_SUFFIX, REPLY)),
    *(f"LTRIM {queue} 1 0" for queue in (QUEUE, WORK_QUEUE)), *(f"EXPIRE {queue} 1" for queue in (QUEUE, WORK_QUEUE)),
    *(f"DEL {key}" for key in (QUEUE, WORK_QUEUE, REPLY, "unacked", "unacked_index")), "SET unacked x",
    f"GET {QUEUE}", f"SET {QUEUE} x",
]  # fmt: skip
FORBIDDEN = {"gateway": FOR_NOBODY + FOR_NO_GATEWAY, "worker": FOR_NOBODY + FOR_NO_WORKER}


@pytest.mark.parametrize("name", FORBIDDEN)
def test_what_a_user_has_no_business_with_is_forbidden(
    server: Valkey, admin: redis.Redis, attack: Told, name: str
) -> None:
    commands = FORBIDDEN[name]
    assert len(set(commands)) == len(commands) > 200
    with redis.Redis.from_url(server.url(0, user="administrator")) as cache:
        cache.set("list:2:x", "x")
        before = snapshot(admin), snapshot(cache), admin.acl_list()
        for db in (0, 1):
            with redis.Redis.from_url(server.url(db, user=name), socket_timeout=5) as client:
                assert allowed(client, commands) == []
        assert (snapshot(admin), snapshot(cache), admin.acl_list()) == before
    attack(
        f"{len(commands)} commands as the {name}'s user: administer, run scripts, read or write other keys", "NOPERM"
    )


def test_a_script_can_do_no_more_than_its_caller(server: Valkey, admin: redis.Redis, attack: Told) -> None:
    """Workers may load scripts, since kombu's lock is one."""
    with redis.Redis.from_url(server.url(1, user="worker"), socket_timeout=5) as client:
        for body in (
            f"return redis.call('LRANGE', '{QUEUE + DEAD_SUFFIX}', 0, -1)",
            "return redis.call('SET', 'list:2:x', 'poisoned')",
            "return redis.call('FLUSHALL')",
        ):
            with pytest.raises(redis.exceptions.ResponseError, match="ACL failure in script") as seen:
                client.evalsha(client.script_load(body), 1, "unacked_mutex")
    assert admin.get("list:2:x") == b"x"
    attack("run a script that reads dead letters, poisons a cached list, flushes", str(seen.value).partition(":")[0])


def app_of(server: Valkey, name: str) -> Celery:
    pools.reset()  # connections that have declared the queue already are kept by address
    address = SecretStr(server.url(1, user=name))
    return broker.celery_app(Settings.model_construct(broker_url=address), name)


def store_of(server: Valkey, name: str) -> RedisStore:
    return RedisStore(server.url(0, user=name), timeout_seconds=5, pause_seconds=0, connections=2)


def as_gateway(server: Valkey) -> None:
    """All that a gateway does."""
    app = app_of(server, "gateway")
    broker.ping(app)
    broker.publisher(app)([ChunkRef(uuid4(), 0), ChunkRef(uuid4(), 1)])
    store = store_of(server, "gateway")
    store.ping()
    for key in KEPT:
        store.set_many({key.encode(): b"value"}, seconds=10)
        assert store.get_many([key.encode()]) == [b"value"]
    store.close()
    with redis.Redis.from_url(
        server.url(0, user="gateway"), socket_timeout=5
    ) as client:  # how often a caller has asked
        client.incrby(LIMIT, 1)
        client.expire(LIMIT, 60, nx=True)
        client.pttl(LIMIT)


def as_worker(server: Valkey) -> None:
    """All that a worker and a trainer do, by kombu's own transport: the guard passes over what Redis refuses."""
    app = app_of(server, "worker")
    broker.publisher(app)([ChunkRef(uuid4(), 0)])
    broker.reply_sender(app)(REPLY, b"{}", 60)
    for queue in (QUEUE, WORK_QUEUE):
        broker.dead_letter_sender(app, most=10)(queue + DEAD_SUFFIX, b"{}", 60)
    store = store_of(server, "worker")
    store.set_many({b"result:2:y": b"value"}, seconds=10)
    store.close()
    with Connection(
        server.url(1, user="worker"), transport_options=dict(app.conf.broker_transport_options)
    ) as connection:
        channel: Any = connection.channel()
        for queue in (QUEUE, WORK_QUEUE):
            app.amqp.queues[queue](channel).declare()
        work_through(connection, channel)
        channel.close()


def work_through(connection: Connection, channel: Any) -> None:
    """Take a message and acknowledge it, put another back, put back what a dead worker held."""
    client = channel.client
    fates: list[Callable[[Any], None]] = [lambda m: m.reject(requeue=True), lambda m: m.ack(), lambda m: m.ack()]

    def taken(message: Any) -> None:
        fates.pop(0)(message)

    for queue in (QUEUE, WORK_QUEUE):
        channel.queue_declare(queue)
        channel.basic_consume(queue, no_ack=False, callback=taken, consumer_tag=queue)
    while fates:
        connection.drain_events(timeout=5)
    assert client.hget("unacked", "lost")  # of a worker that died
    channel.qos.visibility_timeout = 0
    channel.qos.restore_visible(interval=1)
    assert not client.hget("unacked", "lost")


JOURNEYS = {"gateway": as_gateway, "worker": as_worker}


@pytest.fixture
def messages(server: Valkey, admin: redis.Redis) -> redis.Redis:
    """Two messages to be worked on in place of those that are none, and one that was lost."""
    admin.delete(QUEUE, WORK_QUEUE, "unacked", "unacked_index", "unacked_mutex", LIMIT)
    with Connection(server.url(1, user="administrator")) as connection, connection.Producer() as producer:
        for queue in (QUEUE, WORK_QUEUE):
            producer.publish({"x": 1}, routing_key=queue, exchange="")
    lost = admin.lindex(QUEUE, 0).decode()
    admin.hset("unacked", "lost", f'[{lost}, "", "{QUEUE}"]')
    admin.zadd("unacked_index", {"lost": 1})
    return admin


@pytest.mark.parametrize("name", JOURNEYS)
def test_a_user_can_do_its_work(server: Valkey, messages: redis.Redis, name: str) -> None:
    JOURNEYS[name](server)


@pytest.mark.parametrize(
    ("name", "rules"),
    [
        pytest.param(name, rules, id=f"{name} without {word}")
        for name in JOURNEYS
        for word, rules in without_one(USERS[name])
    ],
)
def test_nothing_that_is_granted_could_be_left_out(
    server: Valkey, messages: redis.Redis, name: str, rules: list[str]
) -> None:
    set_user(messages, name, PASSWORDS[name], rules)
    with pytest.raises(Exception, match=r"(?i)permission|EXEC without MULTI"):
        JOURNEYS[name](server)


def test_the_operators_guide_tells_of_each_user() -> None:
    rows = table(Guide("OPERATIONS.md").section("10.2 Redis"), "user")
    assert sorted(names(row[0])[0] for row in rows) == sorted(USERS)
