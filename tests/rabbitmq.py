"""A real RabbitMQ for the tests, where one is installed: Debian's package, or any whose scripts are on PATH."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import trustme
from amqp.exceptions import AMQPError, NotFound
from kombu import Connection

from demo.process import Process
from demo.server import Server, free_port

_DEBIAN: Final = Path("/usr/lib/rabbitmq/lib")  # what its package has on PATH serves none but root and its own user
_USER: Final = "tests"
_CONTROL_SECONDS: Final = 60.0

OPTIONS: Final = {"confirm_publish": True, "read_timeout": 5, "write_timeout": 5, "max_retries": 1}
"""kombu's and Celery's transport options, as anyone who publishes should have them: confirmed, and bounded."""


class RabbitMQ(Server):
    """A RabbitMQ server with one user and a generated password; it keeps everything in its directory."""

    name = "RabbitMQ"

    def __init__(self, directory: Path, port: int | None = None, *, certificate: trustme.LeafCert) -> None:
        """See `Server`. certificate: shown to clients that use TLS. Skips the test where RabbitMQ is not installed."""
        super().__init__(directory, port)
        self.tls_port = free_port()
        self._certificate = certificate
        self._scripts = _scripts()
        self._password = secrets.token_urlsafe(16)
        # Beside the clients' port there is the node's, and that of a daemon which tells nodes of each other's. This
        # server has a daemon to itself: as a descendant of its guard it is paused and ends with it.
        self._environment = {
            "HOME": str(self.directory),  # of the cookie that lets rabbitmqctl in
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(free_port()),
            "RABBITMQ_NODENAME": f"tests-{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_CONF_ENV_FILE": os.devnull,  # none of the system's
            "RABBITMQ_CONFIG_FILE": str(self.directory / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.directory / "plugins"),
            "RABBITMQ_MNESIA_BASE": str(self.directory / "data"),
            "RABBITMQ_LOG_BASE": str(self.directory / "logs"),
            "RABBITMQ_LOGS": "-",  # to where `log` is
        }

    @property
    def url(self) -> str:
        """Its address, as Celery takes it."""
        return self.url_of(_USER, self._password)

    def url_of(self, user: str, password: str) -> str:
        """Its address for another user."""
        return f"amqp://{user}:{password}@127.0.0.1:{self.port}//"

    @contextmanager
    def channel(self, url: str | None = None) -> Iterator[Any]:
        """A channel, for whoever has this address."""
        with (
            Connection(url or self.url, connect_timeout=5, transport_options=OPTIONS) as connection,
            connection.channel() as channel,
        ):
            yield channel

    def waiting(self, queue: str) -> int:
        """How many messages a queue holds that no consumer was given; none when it is not there."""
        with self.channel() as channel:
            try:
                return channel.queue_declare(queue, passive=True).message_count
            except NotFound:
                return 0

    def take(self, queue: str) -> Any:
        """A queue's next message, which is gone then; None when there is none."""
        with self.channel() as channel:
            return channel.basic_get(queue, no_ack=True)

    def control(self, *arguments: str) -> str:
        """What `rabbitmqctl` answers. Raises CalledProcessError, TimeoutExpired."""
        return subprocess.run(
            [self._scripts / "rabbitmqctl", "--quiet", *arguments],
            env=os.environ | self._environment,
            stdout=subprocess.PIPE,
            text=True,
            timeout=_CONTROL_SECONDS,
            check=True,
        ).stdout

    def rows(self, kind: str, *columns: str) -> list[dict[str, Any]]:
        """What `rabbitmqctl list_<kind>` tells of each: queues, exchanges, bindings, connections, channels."""
        return json.loads(self.control(f"list_{kind}", *columns, "--formatter=json"))

    def _launch(self, lock: int) -> Process:
        certificate, key = self.directory / "certificate.pem", self.directory / "key.pem"
        self._certificate.cert_chain_pems[0].write_to_path(str(certificate))
        self._certificate.private_key_pem.write_to_path(str(key))
        settings = {
            "default_user": _USER,
            "default_pass": self._password,
            "log.console.level": "info",
            "listeners.ssl.default": f"127.0.0.1:{self.tls_port}",
            "ssl_options.certfile": certificate,
            "ssl_options.keyfile": key,
            "ssl_options.verify": "verify_none",  # clients need no certificate
        }
        lines = [f"{name} = {value}\n" for name, value in settings.items()]
        (self.directory / "rabbitmq.conf").write_text("".join(lines), encoding="utf-8")
        (self.directory / "plugins").write_text("[].\n", encoding="utf-8")
        return Process(
            [self._scripts / "rabbitmq-server"], log=self.log, environment=self._environment, keep_open=[lock]
        )

    def _answers(self) -> bool:
        try:
            with self.channel():
                return True
        except (OSError, AMQPError):
            return False


def _scripts() -> Path:
    """The folder with `rabbitmq-server` and `rabbitmqctl`, as they were written, not as a package wraps them."""
    places = sorted(_DEBIAN.glob("rabbitmq_server-*/sbin"))
    if found := shutil.which("rabbitmq-server"):
        places.append(Path(found).resolve().parent)
    for place in places:
        if all(os.access(place / name, os.X_OK) for name in ("rabbitmq-server", "rabbitmqctl", "rabbitmq-env")):
            return place
    pytest.skip("RabbitMQ is not installed: `make rabbitmq`, or apt-get install rabbitmq-server")
