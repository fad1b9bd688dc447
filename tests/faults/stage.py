"""The whole service in processes, on servers of its own, each thing it leans on behind a proxy of its own."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from demo.client import Client
from demo.databases import load_sample
from demo.errors import WrongAnswer
from demo.movielens import Sample
from demo.process import Process, log_tail
from demo.server import free_port
from demo.servers import Postgres, Valkey
from shared.settings import Settings
from tests.faults.proxy import Proxy
from tests.platform import DATABASES, Platform, wait_for

READY_SECONDS: Final = 60.0

# Times are shorter than by default, so that a fault need not last long to be one.
_SETTINGS: Final[dict[str, Any]] = {
    "database_connections": 6,  # three for each of the gateway's processes
    "database_checkout_seconds": 0.5,
    "database_connect_seconds": 1.0,
    "database_statement_seconds": 1.0,
    "database_bulk_seconds": 3.0,
    "redis_timeout_seconds": 1.0,
    "publish_seconds": 1.0,
    "retry_pause_seconds": 0.5,
    "catalogue_refresh_seconds": 2.0,
    "lease_seconds": 5,
    "republish_seconds": 1.0,
    "beat_seconds": 0.5,
    "grace_seconds": 5.0,
    "web_concurrency": 2,
    "web_threads": 8,
    "worker_concurrency": 1,
}


class Stage:
    """gunicorn and one worker on MovieLens; `proxies` are named user_db, ..., jobs_db, redis and broker."""

    def __init__(self, folder: Path, sample: Sample, **settings: Any) -> None:
        """Start everything and wait until it is ready. settings: changes of the short ones here."""
        self._folder = folder
        with ExitStack() as started:
            self.postgres = started.enter_context(Postgres(folder / "postgres", durable=False))
            self.valkey = started.enter_context(Valkey(folder / "valkey"))
            self.servers = {server.name: server for server in (self.postgres, self.valkey)}
            self.platform = Platform(self.postgres, self.valkey, folder / "models")
            started.callback(self.platform.close)
            load_sample(sample, *(self.platform.urls[name] for name in ("user_db", "catalog_db", "engagement_db")))
            self.platform.train()

            ports = dict.fromkeys(DATABASES, self.postgres.port) | dict.fromkeys(("redis", "broker"), self.valkey.port)
            self.proxies = {name: started.enter_context(Proxy(port)) for name, port in ports.items()}
            changes = _SETTINGS | {"web_bind": f"127.0.0.1:{free_port()}"} | settings
            self.settings: Settings = self.platform.settings(**changes)
            self._environment = self.platform.environment(**changes, **self._addresses())
            self.client = Client(f"http://{self.settings.web_bind}")

            started.callback(self._stop)
            self.start_worker()
            self.start_gateway()
            self.wait_until_ready()
            self._started = started.pop_all()

    def close(self) -> None:
        """Stop everything."""
        self._started.close()

    def heal(self) -> None:
        """Bring everything back that was broken or stopped."""
        for proxy in self.proxies.values():
            proxy.restore()
        for server in self.servers.values():
            server.resume() if server.running else server.start()
        if self.worker.running:
            self.worker.resume()
        else:
            self.start_worker()
        if not self.gateway.running:
            self.start_gateway()
        self.wait_until_ready()

    def start_worker(self) -> None:
        """Start the worker, also anew after its end."""
        self.worker = self._start("worker", "-m", "worker", "run")

    def start_gateway(self) -> None:
        """Start the gateway, also anew after its end."""
        self.gateway = self._start(
            "gateway", "-m", "gunicorn", "-c", "gateway/gunicorn.conf.py", "gateway.app:create_app()"
        )

    def wait_until_ready(self) -> None:
        """Until /health/ready says so."""
        try:
            wait_for(self._ready, READY_SECONDS)
        except AssertionError as error:
            tails = "\n".join(log_tail(self._folder / f"{name}.log") for name in ("gateway", "worker"))
            raise AssertionError(f"the service is not ready\n{tails}") from error

    def _stop(self) -> None:
        for name in ("gateway", "worker"):  # whichever they are by then
            if process := getattr(self, name, None):
                process.stop()

    def _ready(self) -> bool:
        try:
            return bool(self.client.get("/health/ready").body["status"] == "ready")
        except WrongAnswer:
            return False

    def _addresses(self) -> dict[str, str]:
        """Every address with its proxy's port."""
        direct = self.platform.urls | {"redis": self.platform.redis_url, "broker": self.platform.broker_url}
        return {
            f"{name}_url": urlsplit(url)._replace(netloc=_with_port(url, self.proxies[name].port)).geturl()
            for name, url in direct.items()
        }

    def _start(self, name: str, *command: str) -> Process:
        return Process(
            [Path(sys.executable), *command], log=self._folder / f"{name}.log", environment=self._environment
        )


def _with_port(url: str, port: int) -> str:
    return f"{urlsplit(url).netloc.rpartition(':')[0]}:{port}"
