"""What the example clients do with a token: it is for the service, and for nobody else."""

from __future__ import annotations

import threading
from typing import Any
from uuid import uuid4

import psutil
import pytest
import redis

from demo.servers import Valkey
from tests.examples import Examples, skip_unless_it_runs
from tests.receiver import Receiver, status
from tests.security.conftest import Told

WALL = "clients"
TOKEN = "rk_newsletter_" + "s" * 43
LANGUAGES = ("python", "javascript", "java")


def examples(language: str, url: str, **more: str) -> Examples:
    skip_unless_it_runs(language)
    return Examples(language, {"ML_SERVICE_URL": url, "ML_SERVICE_TOKEN": TOKEN} | more)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_redirect_to_another_server_does_not_take_the_token_there(language: str, attack: Told) -> None:
    for code in (302, 307):
        with (
            Receiver(status(400)) as other,
            Receiver(status(code, Location=f"{other.url}/elsewhere")) as service,
        ):
            done = examples(language, service.url).run("recommend", uuid4())
        assert [call.headers.get("Authorization") for call in service.calls] == [f"Bearer {TOKEN}"]
        assert [call.headers.get("Authorization") for call in other.calls] == [None] * len(other.calls)
        assert done.returncode == 1
        assert TOKEN not in done.stdout + done.stderr
    attack(f"a service that sends the client on to another server ({language})", "the token stays behind")


SPOILT = {
    "a line end": f"{TOKEN}\n",
    "another header": f"{TOKEN}\r\nX-Admin: yes",
    "a blank": f"{TOKEN} {TOKEN}",
    "a letter that is no ASCII": f"{TOKEN}\u00e9",
}


@pytest.mark.parametrize("spoilt", SPOILT)
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_token_that_cannot_be_sent_is_refused_and_not_shown(language: str, spoilt: str, attack: Told) -> None:
    with Receiver(status(400)) as service:
        done = examples(language, service.url, ML_SERVICE_TOKEN=SPOILT[spoilt]).run("recommend", uuid4())
    assert (done.returncode, done.stdout, service.calls) == (1, "", [])
    assert done.stderr.endswith("error: the token has characters that no token has\n")
    assert TOKEN not in done.stderr
    attack(f"a token with {spoilt} behind it ({language})", "nothing is sent or shown")


def test_the_shell_shows_its_token_to_nobody_who_lists_processes(valkey: Valkey, attack: Told) -> None:
    job_id, lines = str(uuid4()), []

    def look(request: Any, closing: threading.Event) -> None:
        lines.extend(" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"]))
        status(403)(request, closing)

    with Receiver(look) as service, redis.Redis.from_url(valkey.url(14)) as broker:
        broker.lpush(f"recommendations.reply.{job_id}", '{"type":"job.completed"}')  # so that it asks at once
        done = examples("shell", service.url, BROKER_URL=valkey.url(14), JOB_ID=job_id).run("publish", uuid4())
        broker.flushdb()
    assert [call.headers.get("Authorization") for call in service.calls] == [f"Bearer {TOKEN}"], done.stderr
    assert [line for line in lines if service.url in line and "curl" in line]
    assert not [line for line in lines if TOKEN in line]
    assert TOKEN not in done.stdout + done.stderr
    attack("listing processes while publish.sh asks for its job", "no token among their words")
