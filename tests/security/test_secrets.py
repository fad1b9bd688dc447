"""Nothing that the service says, to whomever, has a secret in it, whatever fails, at the finest level of its log."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import psutil
import pytest
import redis
from pydantic import SecretStr

from demo.process import PROJECT, Process
from demo.server import free_port
from shared.contracts import QUEUE
from shared.settings import Settings
from tests.messages import message
from tests.platform import Platform, wait_for
from tests.raw_http import RawAnswer, exchange, request
from tests.security.conftest import Told
from tests.security.planted import Planted

WALL = "secrets"

Break: TypeAlias = "Callable[[dict[str, str], Planted, str], None]"

GATEWAY: Final = ["-m", "gunicorn", "-c", "gateway/gunicorn.conf.py", "gateway.app:create_app()"]
WORKER: Final = ["-m", "worker", "run", "--pulse"]
SECRET_SETTINGS: Final = {name.upper() for name, one in Settings.model_fields.items() if one.annotation is SecretStr}
USER: Final = "planted"  # Redis's


@pytest.fixture
def environment(platform: Platform, planted: Planted) -> Iterator[dict[str, str]]:
    """Of a service that runs, with a secret of its own in each setting that may have one."""
    with redis.Redis.from_url(platform.redis_url) as client:
        client.acl_setuser(
            USER, enabled=True, passwords=["+" + planted.secret("Redis")], keys="*", channels="*", commands=["+@all"]
        )
        planted.secret("PostgreSQL", urlsplit(platform.urls["jobs_db"]).password or "")
        with_password = {
            name: url.replace("//", f"//{USER}:{planted.password('Redis')}@")
            for name, url in {"REDIS_URL": platform.redis_url, "BROKER_URL": platform.broker_url}.items()
        }
        of_databases = {f"{name}_url".upper(): url for name, url in platform.urls.items()}
        keys = {"CALLBACK_SECRET": signing_key(planted), "JWT_SECRET": planted.secret("tokens", f"{uuid4()}{uuid4()}")}
        assert {*with_password, *of_databases, *keys} == SECRET_SETTINGS, "each has a secret"
        yield {
            **platform.environment(
                web_concurrency=1,
                worker_concurrency=1,
                web_bind=f"127.0.0.1:{free_port()}",
                log_level="DEBUG",
                beat_seconds=0.5,
                publish_seconds=0.5,
                database_connect_seconds=0.5,
                database_statement_seconds=0.5,
                grace_seconds=1,
                callback_hosts="127.0.0.1:9,nowhere.invalid",
                callback_networks="127.0.0.0/8",
                callback_secret=keys["CALLBACK_SECRET"],
                jwt_secret=keys["JWT_SECRET"],
                jwt_issuer="https://login.example.com",
                jwt_audience="recommendations",
            ),
            **with_password,
            "PGPASSWORD": planted.secret("libpq"),
            "AWS_SECRET_ACCESS_KEY": planted.secret("an object store"),
        }
        client.acl_deluser(USER)


@pytest.fixture
def planted() -> Planted:
    return Planted()


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def signing_key(planted: Planted) -> str:
    return "whsec_" + planted.secret("callbacks", b64encode(uuid4().bytes + uuid4().bytes).decode())


def nothing(_environment: dict[str, str], _planted: Planted, _silent: str) -> None:
    pass


def passwords(environment: dict[str, str], planted: Planted, _silent: str) -> None:
    """The servers are there, and refuse all but one, so that there is a job to fail."""
    for name in ("USER_DB_URL", "ENGAGEMENT_DB_URL", "REDIS_URL", "BROKER_URL"):
        right = environment[name].partition("@")[0].rpartition(":")[2]
        environment[name] = environment[name].replace(right, planted.password(name))


def servers(environment: dict[str, str], planted: Planted, silent: str) -> None:
    """One is not there, one has no address, one never answers."""
    nobody = f"127.0.0.1:{free_port()}"
    environment |= {
        "USER_DB_URL": f"postgresql://u:{planted.password('user_db')}@{nobody}/user_db",
        "CATALOG_DB_URL": f"postgresql://u:{planted.password('catalog_db')}@nowhere.invalid/catalog_db",
        "ENGAGEMENT_DB_URL": f"host=127.0.0.1 port=1 user=u password={planted.secret('engagement_db', uuid4().hex)}",
        "JOBS_DB_URL": f"postgresql://u:{planted.password('jobs_db')}@{silent}/jobs_db",
        "REDIS_URL": f"redis://:{planted.password('redis')}@{silent}/0",
        "BROKER_URL": f"redis://:{planted.password('broker')}@{nobody}/1",
    }


DOWN: dict[str, Break] = {"nothing": nothing, "passwords": passwords, "servers": servers}


@pytest.mark.parametrize("down", DOWN)
def test_a_service_that_fails_says_no_secret(
    platform: Platform,
    environment: dict[str, str],
    planted: Planted,
    silent: str,
    tmp_path: Path,
    attack: Told,
    down: str,
) -> None:
    DOWN[down](environment, planted, silent)
    user = platform.user("Drama")
    title = platform.title("Heat", "Drama")
    platform.like([user, platform.user("Drama")], title, platform.title("Ronin", "Drama"))
    url = f"http://{environment['WEB_BIND']}"
    gateway, worker = (
        Process([sys.executable, *command], log=tmp_path / f"{name}.log", environment=environment, grace=15)
        for name, command in {"gateway": GATEWAY, "worker": [*WORKER, str(tmp_path / "pulse")]}.items()
    )
    try:
        wait_for(lambda: "gateway is ready" in gateway.log.read_text())
        replies = [told(exchange(url, raw)) for raw in requests(planted, user)]
        leave_messages(platform, planted)
        training = run(["-m", "worker", "train"], environment)
        wait_for(lambda: MET[down] in worker.log.read_text() or not worker.running)
        commands = [" ".join(one.cmdline()) for top in (gateway, worker) for one in family(top.pid)]
    finally:
        gateway.stop()
        worker.stop()
    written = [path.read_text(encoding="latin-1") for path in tmp_path.rglob("*") if path.is_file()]
    assert len(planted) >= MOST_HAVE
    assert not planted.found_in([*replies, *commands, *written, training])
    attack(f"failures at LOG_LEVEL=DEBUG, down: {down}", f"{len(planted)} secrets sought, none found")


MOST_HAVE: Final = 12  # secrets, in settings and requests
MET: Final = {"nothing": "is refused", "passwords": "is down", "servers": "is down"}  # what the worker says of it


def requests(planted: Planted, user: UUID) -> Iterator[bytes]:
    """With secrets where callers have them, and where they do not belong."""
    key = f"rk_app_{planted.secret('a key', 'A1b2C3d4E5f' + uuid4().hex)}"
    token = ".".join(
        f"eyJ{planted.secret(part, uuid4().hex)}" for part in ("a token's head", "a token's claims", "a signature")
    )
    headers = [
        f"Authorization: Bearer {token}",
        f"X-API-Key: {key}",
        f"Cookie: s={planted.secret('a cookie', uuid4().hex)}",
    ]
    password, wrong = planted.password("a callback"), planted.secret("what is no field", uuid4().hex)
    yield request(target=f"/api/recommendations/{user}?access_token={wrong}", headers=headers)
    yield request(target=f"/api/recommendations/{user}?limit=1", headers=headers)
    yield request(
        target=f"/api/recommendations/{user}?genres_any={key}", headers=[*headers, f"Idempotency-Key: {wrong} "]
    )
    yield request(target="/health/ready", headers=headers)
    yield request(headers=[*headers, f"{wrong}"])
    yield request(headers=[*headers, "Content-Length: x"])
    for fields in (
        {"callback_url": f"https://u:{password}@127.0.0.1:9/"},
        {"callback_url": f"https://{password}@nowhere.invalid/"},
        {"callback_url": f"https://nowhere.invalid/?token={wrong}"},
        {"api_key": key},
        {"limit": wrong},
        {"reply_to": f"{wrong} {key}"},
    ):
        body = json.dumps({"user_ids": [str(user)], **fields}).encode()
        yield request("POST", "/api/recommendations/batch", [*headers, "Prefer: respond-async"], body)
        yield request("POST", "/api/recommendations/batch", headers, body[:-1])


def leave_messages(platform: Platform, planted: Planted) -> None:
    """On the queue, by somebody who means no good."""
    secret = planted.secret("a message", uuid4().hex)
    with redis.Redis.from_url(platform.broker_url) as client:
        client.lpush(QUEUE, message({"job_id": str(uuid4()), "user_ids": [secret]}), secret, message({secret: secret}))


def told(answer: RawAnswer) -> str:
    return "\n".join([answer.text, *(f"{name}: {value}" for name, value in answer.headers.items())])


def family(pid: int) -> list[psutil.Process]:
    top = psutil.Process(pid)
    return [top, *top.children(recursive=True)]


def run(command: list[str], environment: Mapping[str, str]) -> str:
    """All it says until it ends."""
    done = subprocess.run(
        [sys.executable, *command],
        cwd=PROJECT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout


def settings(environment: dict[str, str], planted: Planted) -> list[str]:
    """None can be used: what is not percent-encoded would be taken for a host or a port, and shown."""
    secret = planted.secret("not encoded", uuid4().hex)
    environment |= {
        "USER_DB_URL": f"postgresql://u:{secret}/@127.0.0.1/db",
        "CATALOG_DB_URL": f"postgresql://u:a@{secret}@127.0.0.1/db",
        "JOBS_DB_URL": f"postgresql://u:a@127.0.0.1:{secret}/db",
        "REDIS_URL": f"redis://:{secret}#@127.0.0.1/0",
        "BROKER_URL": f"redis://:[{secret}@127.0.0.1/0",
        "CALLBACK_SECRET": secret,
        "LOG_LEVEL": secret,
        "WEB_THREADS": secret,
    }
    return ["USER_DB_URL", "CATALOG_DB_URL", "JOBS_DB_URL", "REDIS_URL", "BROKER_URL", "CALLBACK_SECRET", "LOG_LEVEL"]


def an_address_of_another_kind(environment: dict[str, str], planted: Planted) -> list[str]:
    """Only the client library knows."""
    environment["REDIS_URL"] = f"http://:{planted.password('of no Redis')}@127.0.0.1"
    return ["REDIS_URL"]


def no_address(environment: dict[str, str], planted: Planted) -> list[str]:
    """What libpq says of it repeats it."""
    environment["JOBS_DB_URL"] = f"password is {planted.secret('of no database', uuid4().hex)}"
    return ["JOBS_DB_URL"]


@pytest.mark.parametrize(
    ("command", "unusable"),
    [
        ([*GATEWAY, "--check-config"], settings),
        ([*GATEWAY, "--check-config"], an_address_of_another_kind),
        (["-m", "worker", "run"], settings),
        (["-m", "worker", "run"], no_address),
    ],
)
def test_a_setting_that_cannot_be_used_is_told_by_its_name(
    environment: dict[str, str],
    planted: Planted,
    attack: Told,
    command: list[str],
    unusable: Callable[[dict[str, str], Planted], list[str]],
) -> None:
    names = unusable(environment, planted)
    said = run(command, environment)
    assert not [name for name in names if f"{name}: " not in said], said
    assert not planted.found_in([said])
    attack(f"start with {unusable.__name__.replace('_', ' ')}", f"refused, naming {', '.join(names)}")


SAYS: Final = """
import logging, os, sys, threading, traceback, warnings
from shared.telemetry import configure_logging
if "clean" in sys.argv:
    configure_logging("DEBUG", [os.environ["JOBS_DB_URL"]])
secret, forms = os.environ["SECRET"], os.environ["FORMS"].split("|")
log = logging.getLogger("a.library")
logging.basicConfig(level="DEBUG")
for form in [secret, *forms]:
    log.info("by the log: %s", form)
    log.debug("of %r", {"password": form})
    print("printed", form, flush=True)
    print("to standard error", form, file=sys.stderr)
    warnings.warn("warned of " + form)
try:
    raise ValueError(secret) from OSError(secret)
except ValueError:
    log.exception("failed")
    traceback.print_exc()
def fail():
    raise RuntimeError(secret)
thread = threading.Thread(target=fail)
thread.start()
thread.join()
fail()
"""


@pytest.mark.parametrize("clean", [True, False], ids=["hidden", "shown without the scrubber"])
def test_whatever_a_process_writes_shows_no_secret(planted: Planted, attack: Told, clean: bool) -> None:
    """And it is the scrubber that hides it: without, the same is found, in each of its forms."""
    secret, known = planted.secret("known"), planted.password("known")
    environment = {
        "JOBS_DB_URL": f"postgresql://u:{known}@127.0.0.1/db",
        "SECRET": secret,
        "FORMS": "|".join([known, *(b64encode(before + secret.encode()).decode() for before in (b"", b"x", b"xx"))]),
    }
    said = run(["-c", SAYS, *(["clean"] if clean else [])], environment)
    assert (said.count("Traceback"), said.count("printed")) == (4, 5), said
    assert set(planted.found_in([said])) == (set() if clean else {"known"})
    if clean:
        attack("log, print, raise and warn of a secret", f"{said.count('***')} times ***")
