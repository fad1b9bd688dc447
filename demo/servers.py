"""Real PostgreSQL and Valkey for the demo and the tests: foreground children on 127.0.0.1."""

import contextlib
import signal
import socket
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import psycopg2
from psycopg2 import sql

from demo import acl, cluster, private
from demo.binaries import postgres_programs, valkey_program
from demo.errors import ServerError
from demo.process import Process
from demo.server import Server

__all__ = ["Postgres", "ServerError", "Valkey"]


class Postgres(Server):
    """A PostgreSQL server with one user, `postgres`, and a generated password."""

    name = "PostgreSQL"

    def __init__(self, directory: Path, port: int | None = None, durable: bool = True) -> None:
        """See `Server`. Not `durable`: data survives the death of every process, not of the machine."""
        super().__init__(directory, port)
        self._durable = durable

    def dsn(self, database: str = "postgres") -> str:
        """The address of a database, password included. Raises ServerError before the first start."""
        return f"postgresql://postgres:{cluster.password(self.directory)}@127.0.0.1:{self.port}/{database}"

    def create_database(self, name: str) -> None:
        """Create a database unless it exists. Raises psycopg2.Error when the server does not answer."""
        with contextlib.closing(psycopg2.connect(self.dsn(), connect_timeout=5)) as connection:
            connection.autocommit = True  # CREATE DATABASE refuses to run in a transaction
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = %(name)s", {"name": name})
                if cursor.fetchone() is None:
                    cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))

    def _launch(self, lock: int) -> Process:
        programs = self._programs()
        identity = cluster.choose_identity(programs, self.directory)
        data = cluster.prepare(
            programs, self.directory, identity=identity, log=self.log, lock=lock, durable=self._durable
        )
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",  # a socket's path may not exceed 107 bytes; TCP does it all
            "log_timezone": "UTC",
            "timezone": "UTC",
        }
        if not self._durable:
            # Commits still reach the system's cache, so a kill -9 loses nothing that was committed.
            settings |= {"fsync": "off", "full_page_writes": "off"}
        settings |= self._settings()
        options = [f"--{name}={value}" for name, value in settings.items()]
        return Process(
            [str(programs / "postgres"), f"-D{data}", *options],
            log=self.log,
            environment=cluster.ENVIRONMENT,
            stop_signal=signal.SIGINT,  # the fast shutdown: connections are closed, data is written
            grace=20.0,
            identity=identity,
            keep_open=[lock],
        )

    def _programs(self) -> Path:
        """The folder with the server's programs. Raises ServerError when there is none."""
        return postgres_programs()

    def _settings(self) -> dict[str, str]:
        """Settings on top."""
        return {}

    def _answers(self) -> bool:
        try:
            psycopg2.connect(self.dsn(), connect_timeout=2).close()
        except psycopg2.OperationalError:
            return False
        return True


class Valkey(Server):
    """A Valkey server; its data survives restarts, and kill -9, when `appendonly` is on."""

    name = "Valkey"

    def __init__(
        self,
        directory: Path,
        port: int | None = None,
        appendonly: bool = True,
        passwords: Mapping[str, str] | None = None,
    ) -> None:
        """See `Server`. Without `appendonly` nothing is kept across restarts. passwords: of the users of
        docs/messages/service.acl; without, whoever comes may do anything."""
        super().__init__(directory, port)
        self._appendonly = appendonly
        self._passwords = passwords or {}

    def url(self, db: int = 0, *, user: str | None = None) -> str:
        """The address of database number `db`, as redis-py and Celery take it, with a user's name and password."""
        login = f"{user}:{quote(self._passwords[user], safe='')}@" if user else ""
        return f"redis://{login}127.0.0.1:{self.port}/{db}"

    def _launch(self, lock: int) -> Process:
        options = {
            "--bind": "127.0.0.1",
            "--port": str(self.port),
            "--dir": str(self.directory),
            "--appendonly": "yes" if self._appendonly else "no",
            "--save": "",
            "--daemonize": "no",
            "--maxmemory-policy": "noeviction",  # it is a broker: it must refuse rather than forget
        }
        if self._passwords:
            file = self.directory / "users.acl"
            private.write(file, acl.users(self._passwords))
            options["--aclfile"] = str(file)
        options |= self._settings()
        command: list[str | Path] = [self._program(), *(part for option in options.items() for part in option)]
        return Process(command, log=self.log, stop_signal=signal.SIGTERM, keep_open=[lock])

    def _program(self) -> Path:
        """The server's program. Raises ServerError when there is none."""
        return valkey_program()

    def _settings(self) -> dict[str, str]:
        """Options on top."""
        return {}

    def _answers(self) -> bool:
        password = self._passwords.get("worker", "").encode()
        login = b"*3\r\n$4\r\nAUTH\r\n$6\r\nworker\r\n$%d\r\n%s\r\n" % (len(password), password) if password else b""
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection,
            connection.makefile("rb") as answers,
        ):
            connection.sendall(login + b"PING\r\n")
            if login:
                answers.readline()
            return answers.readline().startswith(b"+PONG")  # while reading its file it says -LOADING
        return False
