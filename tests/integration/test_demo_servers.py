"""The demo's own PostgreSQL and Valkey: they answer, survive what they must, and leave nobody behind."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg2
import pytest
import redis

from demo.process import PROJECT, Process
from demo.server import Server
from demo.servers import Postgres, ServerError, Valkey
from tests.platform import last_look, wait_for

GONE = 10.0  # seconds in which nothing of a killed parent's servers may be left

PARENT = """
import sys, time
from pathlib import Path
from demo.servers import Postgres, Valkey
directory = Path(sys.argv[1])
postgres, valkey = Postgres(directory / "postgres", durable=False), Valkey(directory / "valkey")
postgres.start(); valkey.start()
if len(sys.argv) > 2:
    postgres.pause(); valkey.pause()
print(postgres.pid, valkey.pid, flush=True)
time.sleep(120)
"""


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    with Postgres(tmp_path_factory.mktemp("with a space") / "post gres", durable=False) as server:
        yield server


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with Valkey(tmp_path_factory.mktemp("with a space") / "val key") as server:
        yield server


def query(server: Postgres, statement: str, database: str = "postgres") -> list[tuple]:
    with contextlib.closing(psycopg2.connect(server.dsn(database), connect_timeout=5)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_dead(pids: list[int]) -> list[int]:
    return last_look(lambda: [pid for pid in pids if lives(pid)], GONE)


def test_postgresql_answers_queries_from_a_folder_with_a_space_in_its_name(postgres: Postgres) -> None:
    assert query(postgres, "SELECT current_user, 1 + 1") == [("postgres", 2)]


def test_creating_a_database_twice_is_the_same_as_once(postgres: Postgres) -> None:
    postgres.create_database("twice")
    postgres.create_database("twice")
    assert query(postgres, "SELECT current_database()", "twice") == [("twice",)]


def test_postgresql_refuses_a_wrong_password(postgres: Postgres) -> None:
    wrong = f"postgresql://postgres:wrong@127.0.0.1:{postgres.port}/postgres"
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(wrong, connect_timeout=5)


def test_the_password_is_readable_by_its_owner_only(postgres: Postgres) -> None:
    assert (postgres.directory / "password").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["postgres", "valkey"])
def test_a_server_listens_on_the_local_address_only(name: str, request: pytest.FixtureRequest) -> None:
    server: Server = request.getfixturevalue(name)
    listening = {
        connection.laddr.ip
        for connection in psutil.Process(server.pid).net_connections()
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}


def test_committed_rows_survive_kill_minus_nine_and_the_port_stays(postgres: Postgres) -> None:
    query(postgres, "CREATE TABLE kept AS SELECT 42 AS answer")
    port = postgres.port
    postgres.kill()
    assert not postgres.running
    with pytest.raises(psycopg2.OperationalError):
        query(postgres, "SELECT 1")
    postgres.start()
    assert postgres.port == port
    assert query(postgres, "SELECT answer FROM kept") == [(42,)]


def test_the_death_of_the_main_process_is_noticed_and_a_start_recovers(postgres: Postgres) -> None:
    os.kill(postgres.pid, signal.SIGKILL)
    wait_for(lambda: not postgres.running, GONE)
    postgres.start()
    assert query(postgres, "SELECT 1") == [(1,)]


def test_keys_survive_kill_minus_nine_and_databases_are_apart(valkey: Valkey) -> None:
    with redis.Redis.from_url(valkey.url(1)) as client:
        client.set("kept", "yes")
    valkey.kill()
    valkey.start()
    with redis.Redis.from_url(valkey.url(1)) as one, redis.Redis.from_url(valkey.url()) as zero:
        assert one.get("kept") == b"yes"
        assert zero.get("kept") is None


def test_without_appendonly_a_restart_forgets(tmp_path: Path) -> None:
    with Valkey(tmp_path, appendonly=False) as server:
        with redis.Redis.from_url(server.url()) as client:
            client.set("kept", "no")
        server.stop()
        server.start()
        with redis.Redis.from_url(server.url()) as client:
            assert client.get("kept") is None


@pytest.mark.parametrize(("kind", "name"), [(Postgres, "postgres"), (Valkey, "valkey")])
def test_a_second_start_on_the_same_folder_is_refused(
    kind: type[Server], name: str, request: pytest.FixtureRequest
) -> None:
    running: Server = request.getfixturevalue(name)
    with pytest.raises(ServerError, match=f"in use by process {os.getpid()}"):
        kind(running.directory).start()
    assert running.running


def test_a_taken_port_is_named_in_the_refusal(tmp_path: Path, valkey: Valkey) -> None:
    with pytest.raises(ServerError, match=f"port {valkey.port} is taken"):
        Valkey(tmp_path, port=valkey.port).start()


def test_a_server_that_cannot_start_shows_the_end_of_its_log(tmp_path: Path) -> None:
    server = Valkey(tmp_path)
    (tmp_path / "appendonlydir").mkdir()
    (tmp_path / "appendonlydir" / "appendonly.aof.manifest").write_text("no manifest\n")
    with pytest.raises(ServerError, match=r"(?s)Valkey stopped while starting.*manifest"):
        server.start()
    assert not server.running


def test_data_of_another_postgresql_version_is_refused_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "PG_VERSION").write_text("9\n")
    with pytest.raises(ServerError, match=r"from PostgreSQL 9, not \d+\. Remove .* to start afresh"):
        Postgres(tmp_path).start()


def test_a_paused_valkey_hangs_and_goes_on_after_resume(valkey: Valkey) -> None:
    valkey.pause()
    try:
        assert valkey.running
        with (
            redis.Redis.from_url(valkey.url(), socket_timeout=0.3, retry=None) as client,
            pytest.raises(redis.TimeoutError),
        ):
            client.ping()
    finally:
        valkey.resume()
    with redis.Redis.from_url(valkey.url()) as client:
        assert client.ping()


def test_a_paused_postgresql_hangs_open_connections_too(postgres: Postgres) -> None:
    with contextlib.closing(psycopg2.connect(postgres.dsn(), connect_timeout=5)) as connection:
        backend = connection.info.backend_pid
        postgres.pause()
        try:
            assert psutil.Process(backend).status() == psutil.STATUS_STOPPED
            with socket.create_connection(("127.0.0.1", postgres.port), timeout=2) as silent:
                silent.settimeout(0.3)
                silent.sendall(b"\x00\x00\x00\x08\x04\xd2\x16\x2f")  # asks whether TLS is spoken
                with pytest.raises(TimeoutError):
                    silent.recv(1)
        finally:
            postgres.resume()
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            assert cursor.fetchone() == (1,)


def test_a_paused_server_can_be_stopped(tmp_path: Path) -> None:
    server = Valkey(tmp_path)
    server.start()
    server.pause()
    server.stop()
    assert wait_dead([server.pid]) == []


@pytest.mark.parametrize("state", [[], ["paused"]], ids=["answering", "paused"])
def test_kill_minus_nine_of_the_parent_leaves_no_server_alive(tmp_path: Path, state: list[str]) -> None:
    command = [sys.executable, "-c", PARENT, str(tmp_path), *state]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        mains = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(mains) == 2
        family = [child.pid for child in psutil.Process(parent.pid).children(recursive=True)]
        assert set(mains) < set(family)
        parent.kill()
    assert wait_dead(family) == []
    assert "database system is shut down" in (tmp_path / "postgres" / "log").read_text()
    with Postgres(tmp_path / "postgres", durable=False) as again:  # the lock went with them
        assert query(again, "SELECT 1") == [(1,)]


def test_even_without_its_guard_a_server_does_not_outlive_the_parent(tmp_path: Path) -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux tells a process about the death of its parent")
    server = Valkey(tmp_path)
    server.start()
    os.kill(psutil.Process(server.pid).ppid(), signal.SIGKILL)
    assert wait_dead([server.pid]) == []
    assert not server.running


def test_what_a_process_started_goes_with_it_even_when_it_ignores_the_request(tmp_path: Path) -> None:
    script = "trap '' TERM; sleep 300 & sleep 300 & echo $!; wait"
    process = Process(["/bin/sh", "-c", script], log=tmp_path / "log", grace=0.3)
    wait_for(lambda: bool((tmp_path / "log").read_text()), GONE)
    grandchild = int((tmp_path / "log").read_text())
    assert lives(grandchild)
    process.stop()
    assert wait_dead([process.pid, grandchild]) == []


def test_a_program_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match="/no/such/program"):
        Process(["/no/such/program"], log=tmp_path / "log")
