"""A Redis and a PostgreSQL that are reached over TLS alone, with certificates made by the tests.

They are Debian's, since those of the wheels are built without TLS.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

import pytest
import redis
import trustme

from demo.process import Process
from demo.servers import Postgres, Valkey

_DEBIAN: Final = Path("/usr/lib/postgresql")


class TlsRedis(Valkey):
    """Redis, or Valkey, with no port for those who come without TLS."""

    name = "Redis with TLS"

    def __init__(self, directory: Path, certificate: trustme.LeafCert, authority: trustme.CA, *, mutual: bool) -> None:
        """mutual: clients need a certificate of the authority, too."""
        super().__init__(directory, appendonly=False)
        self._certificate, self._authority, self._mutual = certificate, authority, mutual

    def _program(self) -> Path:
        return redis_program()

    def _settings(self) -> dict[str, str]:
        files = keep(self.directory, self._certificate, self._authority)
        return {
            "--port": "0",
            "--tls-port": str(self.port),
            "--tls-cert-file": str(files["certificate"]),
            "--tls-key-file": str(files["key"]),
            "--tls-ca-cert-file": str(files["authority"]),
            "--tls-auth-clients": "yes" if self._mutual else "no",
        }

    def _answers(self) -> bool:
        client = {"ssl_certfile": self.directory / "certificate.pem", "ssl_keyfile": self.directory / "key.pem"}
        options = {name: str(path) for name, path in client.items()} | {"ssl_cert_reqs": "none"}
        try:
            with redis.Redis(port=self.port, ssl=True, socket_timeout=2, **options) as probe:  # type: ignore[arg-type]
                return bool(probe.ping())
        except (redis.RedisError, OSError):
            return False


class TlsPostgres(Postgres):
    """PostgreSQL that lets nobody in without TLS, and the role `known` only with a certificate of the authority."""

    def __init__(self, directory: Path, certificate: trustme.LeafCert, authority: trustme.CA) -> None:
        super().__init__(directory, durable=False)
        self._certificate, self._authority = certificate, authority

    def _launch(self, lock: int) -> Process:
        self._files = keep(self.directory, self._certificate, self._authority)  # before it all is given to who runs it
        known = "hostssl all known 127.0.0.1/32 scram-sha-256 clientcert=verify-ca\n"
        (self.directory / "hba").write_text(f"{known}hostssl all all 127.0.0.1/32 scram-sha-256\n", encoding="utf-8")
        return super()._launch(lock)

    def _programs(self) -> Path:
        return postgres_programs()

    def _settings(self) -> dict[str, str]:
        return {
            "ssl": "on",
            "ssl_cert_file": str(self._files["certificate"]),
            "ssl_key_file": str(self._files["key"]),
            "ssl_ca_file": str(self._files["authority"]),
            "hba_file": str(self.directory / "hba"),
        }


def keep(directory: Path, certificate: trustme.LeafCert, authority: trustme.CA) -> dict[str, Path]:
    """Write a certificate with its key, and its authority's, as files that servers and clients read."""
    directory.mkdir(exist_ok=True)
    files = {name: directory / f"{name}.pem" for name in ("certificate", "key", "authority")}
    certificate.cert_chain_pems[0].write_to_path(str(files["certificate"]))
    files["key"].touch(mode=0o600)
    certificate.private_key_pem.write_to_path(str(files["key"]))
    authority.cert_pem.write_to_path(str(files["authority"]))
    return files


def redis_program() -> Path:
    """Skips the test where there is none that knows TLS."""
    for name in ("redis-server", "valkey-server"):
        if (found := shutil.which(name)) and b"SSL_CTX_new" in Path(found).resolve().read_bytes():
            return Path(found)
    pytest.skip("no Redis that knows TLS is installed: `make tls-servers`, or apt-get install redis-server")


def postgres_programs() -> Path:
    """Skips the test where there is none that knows TLS."""
    places = sorted(_DEBIAN.glob("*/bin"))
    if found := shutil.which("postgres"):
        places.append(Path(found).resolve().parent)
    for place in places:
        if (place / "postgres").exists() and (place / "initdb").exists():
            return place
    pytest.skip("no PostgreSQL that knows TLS is installed: `make tls-servers`, or apt-get install postgresql")
