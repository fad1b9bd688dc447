"""gunicorn, as gateway/gunicorn.conf.py sets it up: where it listens."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
from contextlib import ExitStack, closing
from urllib.parse import urlsplit

import psutil
import pytest

from demo.process import PROJECT
from tests.conftest import Service

START = [sys.executable, "-m", "gunicorn", "-c", "gateway/gunicorn.conf.py", "gateway.app:create_app()"]


def refused(service: Service, bind: str) -> str:
    """What a gateway says that cannot listen there. It ends by itself."""
    done = subprocess.run(
        START, cwd=PROJECT, env=service.platform.environment(web_bind=bind),
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode != 0, done.stderr
    return done.stderr.strip().splitlines()[-1]


def test_an_address_that_another_gateway_has_is_refused_and_it_goes_on(service: Service) -> None:
    taken = urlsplit(service.url).netloc
    assert refused(service, taken) == f"gateway: it cannot listen on {taken}, see WEB_BIND: Address already in use"
    assert service.client.get("/health").status == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_an_address_that_another_program_has_is_refused(service: Service, host: str) -> None:
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    with socket.socket(family) as other:
        try:
            other.bind((host.strip("[]"), 0))
        except OSError as error:
            pytest.skip(f"no such address on this machine: {error}")
        other.listen()
        assert "Address already in use" in refused(service, f"{host}:{other.getsockname()[1]}")


def test_an_address_of_another_machine_is_refused(service: Service) -> None:
    assert "Cannot assign requested address" in refused(service, "192.0.2.1:8000")  # TEST-NET-1, RFC 5737


def test_connections_that_stay_are_shared_out_over_the_processes(service: Service) -> None:
    address = urlsplit(service.url)
    processes = psutil.Process(service.gateway.pid).children()
    assert len(processes) == 2
    with ExitStack() as open_ones:
        for _ in range(40):  # all of them with one process: once in 2**39 times
            connection = open_ones.enter_context(closing(http.client.HTTPConnection(address.netloc, timeout=10)))
            connection.request("GET", "/health")
            assert connection.getresponse().read()
        held = [_connections(process, address.port) for process in processes]
    assert sum(held) >= 40
    assert all(held)


def _connections(process: psutil.Process, port: int | None) -> int:
    """Clients of a process that listens on the port."""
    found = process.net_connections("tcp")
    return sum(one.laddr.port == port and one.status == psutil.CONN_ESTABLISHED for one in found)
