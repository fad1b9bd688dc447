"""Every setting, its default and its reason. The only reader of the environment, with model_settings.py for a part.

A field's name in upper case is the variable that sets it; ``.env.example`` says the same to people, and a test
holds the two together.
"""

from __future__ import annotations

import contextlib
import re
from base64 import b64decode
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator

from shared.model_settings import ModelSettings

# The last label of a name begins with a letter: 127.1, 2130706433 and 0x7f000001 are addresses to some programs.
_HOST: Final = re.compile(
    r"(?:(?P<name>([a-z0-9_-]{1,63}\.)*[a-z][a-z0-9_-]{0,62})|(?P<ipv4>[0-9.]+)|\[(?P<ipv6>[0-9a-f:]+)\])"
    r"(:(?P<port>[1-9][0-9]{0,4}))?"
)
_URL: Final = re.compile(r"[a-z][a-z0-9+.-]*://(?P<rest>.*)", re.DOTALL | re.IGNORECASE)
_NEXT_URL: Final = re.compile(r";(?=[a-z][a-z0-9+.-]*://)", re.IGNORECASE)  # kombu takes several brokers
_USER: Final = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:%-]*")  # and a password, as RFC 3986 has them
_SERVERS: Final = re.compile(r"(?:\[[^]]*\]|[^:,[\]]*)(?::[0-9]*)?(?:,(?:\[[^]]*\]|[^:,[\]]*)(?::[0-9]*)?)*")
_SIGNING_KEY: Final = re.compile(r"whsec_(?P<base64>.+)")  # by the Standard Webhooks scheme, as is the length
_SIGNING_KEY_BYTES: Final = range(24, 65)
_RATE: Final = re.compile(r"[1-9][0-9]{0,8}/(second|minute|hour|day)")
_SECRET_BYTES: Final = 32  # RFC 7518, 3.2: no fewer than the hash has

AUTH_NONE: Final = "none"
UNIX: Final = "unix"  # callers that come over a socket of this host


def entries(text: str) -> list[str]:
    """The entries of a setting that lists several, separated by commas."""
    return [entry.strip() for entry in text.split(",") if entry.strip()]


def _is_host(entry: str) -> bool:
    """A name in ASCII, an IPv4 address or [an IPv6 address], each as it is usually written, perhaps with a port."""
    found = _HOST.fullmatch(entry.lower())
    if found is None or int(found["port"] or 1) > 65535:
        return False
    literal = found["ipv4"] or found["ipv6"]
    with contextlib.suppress(ValueError):
        return literal is None or str(ip_address(literal)) == literal
    return False


def _callback_hosts(value: str) -> str:
    for number, entry in enumerate(entries(value), 1):
        if not _is_host(entry):
            raise ValueError(f"entry {number} is no host such as hooks.example.com or hooks.example.com:8443")
    return value


def _callback_networks(value: str) -> str:
    for number, entry in enumerate(entries(value), 1):
        try:
            ip_network(entry)
        except ValueError:
            raise ValueError(f"entry {number} is no network such as 10.1.0.0/16") from None
    return value


def _origins(value: str) -> str:
    for number, entry in enumerate(entries(value), 1):
        scheme, _, host = entry.partition("://")
        if scheme not in ("http", "https") or host.startswith("[") or not _is_host(host):
            raise ValueError(f"entry {number} is no origin such as https://app.example.com")
    return value


def _key_set_url(value: str) -> str:
    scheme, _, rest = value.partition("://")
    host = rest.partition("/")[0]
    here = host.rpartition(":")[0] in ("127.0.0.1", "localhost", "[::1]")  # what others cannot reach, for trying out
    if value and (not _is_host(host) or (scheme != "https" and not (scheme == "http" and here))):
        raise ValueError("not an address such as https://login.example.com/.well-known/jwks.json")
    return value


def _rate(value: str) -> str:
    if value and (_RATE.fullmatch(value) is None):
        raise ValueError("no rate such as 300/minute, 10/second or 5000/hour")
    return value


def _proxies(value: str) -> str:
    for number, entry in enumerate(entries(value), 1):
        try:
            if entry != UNIX:
                ip_network(entry)
        except ValueError:
            raise ValueError(f"entry {number} is no network such as 10.0.0.0/8, nor unix") from None
    return value


def _address(value: SecretStr) -> SecretStr:
    """Refuses what a library would take apart in another way than was meant: it would take a piece of a password for a
    host or a port, and say so in its errors."""
    for address in _NEXT_URL.split(value.get_secret_value()):
        if found := _URL.fullmatch(address):
            user, _, rest = found["rest"].rpartition("@")
            if not _USER.fullmatch(user):
                raise ValueError("a name or password in it is not percent-encoded: %2F for /, %23 for #, %40 for @")
            if not _SERVERS.fullmatch(re.split("[/?#]", rest, maxsplit=1)[0]):
                raise ValueError("its host or port is none")
    return value


def _is_signing_key(secret: str) -> bool:
    with contextlib.suppress(ValueError):
        found = _SIGNING_KEY.fullmatch(secret)
        return found is not None and len(b64decode(found["base64"], validate=True)) in _SIGNING_KEY_BYTES
    return False


CallbackHosts = Annotated[str, AfterValidator(_callback_hosts)]
CallbackNetworks = Annotated[str, AfterValidator(_callback_networks)]
Address = Annotated[SecretStr, AfterValidator(_address)]
Origins = Annotated[str, AfterValidator(_origins)]
KeySetUrl = Annotated[str, AfterValidator(_key_set_url)]
Rate = Annotated[str, AfterValidator(_rate)]
Proxies = Annotated[str, AfterValidator(_proxies)]


class Settings(ModelSettings):
    """The service's configuration: typed, checked at start, never changed afterwards."""

    # Where things are. The three foreign databases are only ever read.
    user_db_url: Address = Field(description="PostgreSQL with user_preferences and tb_user_genre")
    catalog_db_url: Address = Field(description="PostgreSQL with medias and tb_media_genre")
    engagement_db_url: Address = Field(description="PostgreSQL with interaction")
    jobs_db_url: Address = Field(
        description="PostgreSQL the service owns: the ledger of jobs; its tables are made at start"
    )
    redis_url: Address = Field(description="Redis or Valkey for the cache and the jobs' results")
    broker_url: Address = Field(description="Celery's broker; another database number or server than REDIS_URL")
    model_store: str = Field(
        description="model versions: a folder, or an object store's URL; workers write it, gateways only read it"
    )
    model_cache: Path = Field(
        Path("/tmp/ml-service-models"),  # noqa: S108 # nosec B108 # refused when it is another user's
        description="folder for this host's copies of versions from an object store; not used for a folder",
    )

    # Databases.
    database_connections: int = Field(
        10, ge=1, le=100, description="connections per database and container, shared out over its processes"
    )
    database_checkout_seconds: float = Field(1.0, gt=0, le=30, description="longest wait for a free connection")
    database_connect_seconds: float = Field(2.0, gt=0, le=30, description="longest wait for a new connection")
    database_statement_seconds: float = Field(2.0, gt=0, le=60, description="longest query of a request")
    database_bulk_seconds: float = Field(
        30.0,
        gt=0,
        le=600,
        description="longest query of a chunk or a refresh; in training, the longest pause between two rows",
    )

    # Redis.
    redis_timeout_seconds: float = Field(0.5, gt=0, le=10, description="longest wait for Redis to connect or answer")
    cache_seconds: int = Field(600, ge=1, le=86_400, description="life of a user's cached list; 300-900 is usual")
    reuse_seconds: float = Field(
        10.0,
        ge=0,
        le=60,
        description="how old what an answer says of titles may be: a process remembers what it reads and sends; 0: not",
    )
    cursor_seconds: int = Field(
        1800, ge=1, le=86_400, description="how long a list is kept for those who page through it by cursor"
    )
    result_seconds: int = Field(86_400, ge=60, le=2_592_000, description="life of a finished job's results")

    # What is down is tried again after this pause; until then it is passed over at once.
    retry_pause_seconds: float = Field(
        2.0, gt=0, le=60, description="pause before a failed cache or database is tried again"
    )

    # Freshness.
    catalogue_refresh_seconds: float = Field(
        60.0, gt=0, le=3600, description="how often titles and genres are read again"
    )
    model_check_seconds: float = Field(2.0, gt=0, le=60, description="how often a new model version is looked for")

    # Models.
    training_full_seconds: float = Field(
        86_400.0, gt=0, description="how often a trainer reads every interaction and looks for the best model again"
    )
    training_refresh_seconds: float = Field(
        3600.0, ge=0, description="how often it learns from the newer interactions in between; 0: never"
    )
    training_block_titles: int = Field(
        0,
        ge=0,
        le=100_000,
        description="titles of a block that a worker takes off a training; 0: the trainer's process does it all",
    )
    model_versions_kept: int = Field(3, ge=1, le=100, description="newest model versions kept, beside the current one")
    model_least_share: float = Field(
        0.5,
        ge=0,
        le=1,
        description="what of the current model's titles, reach and accuracy a new one must have; 0 asks for nothing",
    )

    # Requests and jobs.
    batch_sync_users: int = Field(50, ge=1, le=1000, description="users of a batch answered at once; more become a job")
    job_users: int = Field(100_000, ge=1, le=1_000_000, description="users of one job")
    caller_users: int = Field(
        500_000, ge=1, description="users in open jobs of one caller; past that it is answered 429"
    )
    caller_jobs: int = Field(1000, ge=1, description="open jobs of one caller over HTTP; past that it is answered 429")
    queue_users: int = Field(
        2_000_000, ge=1, description="users in open jobs of all callers; past that a new job is answered 503"
    )
    job_seconds: int = Field(86_400, ge=1, le=2_592_000, description="longest life of a job that is not done")
    retention_seconds: int = Field(
        604_800, ge=60, le=31_536_000, description="how long a job is remembered after its end"
    )
    chunk_users: int = Field(500, ge=1, le=10_000, description="users a worker scores at a time")
    chunks_in_flight: int = Field(
        16, ge=1, le=1000, description="chunks of one job on the queue at once; at least as many as worker processes"
    )
    lease_seconds: int = Field(
        120, ge=2, le=3600, description="how long a worker may hold a chunk before another may take it"
    )
    republish_seconds: float = Field(
        30.0, gt=0, le=3600, description="after this a message is taken for lost and sent again; doubles each time"
    )
    beat_seconds: float = Field(
        5.0, gt=0, le=60, description="how often a worker says that it lives and looks after jobs; four missed: dead"
    )
    grace_seconds: float = Field(
        25.0, gt=0, le=600, description="time a worker that is told to stop has to finish its chunks"
    )
    dead_letters: int = Field(10_000, ge=1, le=1_000_000, description="newest dead letters that are kept")
    dead_letter_seconds: int = Field(1_209_600, ge=60, le=31_536_000, description="life of dead letters")
    request_bytes: int = Field(8_000_000, ge=1024, description="largest request body; 100,000 ids are 4 MB")
    response_seconds: float = Field(
        10.0, gt=0, le=60, description="longest time to make an answer, from when the request is read"
    )
    client_seconds: float = Field(
        10.0, gt=0, le=300, description="longest pause of a client that sends a request or takes an answer"
    )
    publish_seconds: float = Field(2.0, gt=0, le=30, description="longest wait for the broker to take a message")

    # Who may ask the gateway. Without AUTH=none, at least one of the ways below is needed.
    auth: str = Field(
        "required",
        pattern=f"^(required|{AUTH_NONE})$",
        description="required: every caller shows a token or an API key; none: anybody may ask for anything",
    )
    auth_none_public: bool = Field(
        False, description="AUTH=none on an address that others reach is meant; without it the gateway does not start"
    )
    jwt_secret: SecretStr = Field(
        SecretStr(""),
        validate_default=True,
        description="checks HS256 tokens: 32 bytes or more; two by a comma while it is being changed",
    )
    jwt_jwks_url: KeySetUrl = Field(
        "", description="the issuer's JSON Web Key Set, for RS256, ES256 and EdDSA tokens, by https"
    )
    jwt_keys_file: Path | None = Field(
        None,
        description="file with public keys for such tokens: PEM, or a JSON Web Key Set; read again when it changes",
    )
    jwt_issuer: str = Field(
        "", validate_default=True, description="iss that tokens must have; required with any of the three above"
    )
    jwt_audience: str = Field(
        "", validate_default=True, description="aud that tokens must have; required with any of the three above"
    )
    jwt_leeway_seconds: float = Field(30.0, ge=0, le=300, description="how far the issuer's clock may differ from ours")
    jwt_scope_claim: str = Field(
        "scope", min_length=1, description="claim with a service's scopes: a text with spaces between, or a list"
    )
    jwt_keys_seconds: float = Field(
        300.0, ge=10, le=86_400, description="how often the JSON Web Key Set is read again; at once for an unknown key"
    )
    jwt_keys_stale_seconds: float = Field(
        86_400.0, ge=10, le=2_592_000, description="how long its keys count while it cannot be read"
    )
    api_keys_file: Path | None = Field(
        None, description="file with hashes of API keys (python -m gateway key); read again when it changes"
    )

    # How often a caller may ask. One that has scopes is a service, and may ask so many times as often as a user.
    rate_single: Rate = Field("300/minute", description="a user's requests for lists and titles; empty: any number")
    rate_batch: Rate = Field("60/minute", description="requests for batches")
    rate_jobs: Rate = Field("300/minute", description="requests about jobs and models")
    rate_service_times: int = Field(
        1000, ge=1, le=1_000_000, description="a service may ask so many times as often as a user"
    )
    rate_address_times: int = Field(
        20, ge=1, le=1_000_000, description="so many users' requests may come from one address; services do not count"
    )
    rate_without_redis: str = Field(
        "open",
        pattern="^(open|closed)$",
        description="while Redis is down requests are answered uncounted (open) or with 503 (closed)",
    )
    trusted_proxies: Proxies = Field(
        "",
        description="networks whose X-Forwarded-For is believed, such as 10.0.0.0/8, and unix for a socket; by commas",
    )

    # Web pages of other origins.
    cors_origins: Origins = Field(
        "", description="origins whose web pages may ask, such as https://app.example.com; by commas"
    )

    # Callbacks: a job's end is told to its callback_url.
    callback_hosts: CallbackHosts = Field(
        "", description="hosts that may be called back, each with its port unless it is the usual one; by commas"
    )
    callback_networks: CallbackNetworks = Field(
        "", description="private networks that may be called back, such as 10.1.0.0/16, also without TLS; by commas"
    )
    callback_secret: SecretStr = Field(
        SecretStr(""),
        validate_default=True,
        description="signs callbacks: whsec_ and 24 to 64 bytes in base64; two by a comma while it is being changed",
    )
    callback_seconds: float = Field(5.0, gt=0, le=60, description="longest wait for a callback's receiver")
    callback_attempts: int = Field(8, ge=1, le=20, description="tries per callback; the pause between doubles from 5 s")

    # Processes.
    web_concurrency: int = Field(4, ge=1, le=64, description="gunicorn processes")
    web_threads: int = Field(2, ge=1, le=64, description="threads of each gunicorn process")
    web_bind: str = Field("0.0.0.0:8000", description="address the gateway listens on")
    worker_concurrency: int = Field(2, ge=1, le=64, description="Celery processes of one worker")

    @field_validator("callback_secret")
    @classmethod
    def _signs_callbacks(cls, value: SecretStr, others: ValidationInfo) -> SecretStr:
        secret = value.get_secret_value()
        if not secret and others.data.get("callback_hosts"):
            raise ValueError("required with CALLBACK_HOSTS")
        if secret and not all(map(_is_signing_key, secret.split(","))):
            raise ValueError("not whsec_ and 24 to 64 bytes in base64, or several of these with commas between")
        return value

    @field_validator("jwt_secret")
    @classmethod
    def _signs_tokens(cls, value: SecretStr) -> SecretStr:
        secret = value.get_secret_value()
        if secret and any(len(one.encode()) < _SECRET_BYTES for one in secret.split(",")):
            raise ValueError(f"shorter than {_SECRET_BYTES} bytes; make one with: openssl rand -base64 48")
        return value

    @field_validator("jwt_issuer", "jwt_audience")
    @classmethod
    def _are_checked(cls, value: str, others: ValidationInfo) -> str:
        secret = others.data.get("jwt_secret")
        if not value and (
            (secret and secret.get_secret_value())
            or others.data.get("jwt_jwks_url")
            or others.data.get("jwt_keys_file")
        ):
            raise ValueError("required with JWT_SECRET, JWT_JWKS_URL and JWT_KEYS_FILE")
        return value

    @property
    def silence_seconds(self) -> float:
        """A worker not heard of for so long is taken for dead."""
        return 4 * self.beat_seconds

    @property
    def title_seconds(self) -> float:
        """For so long a process takes what it read of a title to be so."""
        return self.reuse_seconds / 5

    @property
    def page_seconds(self) -> float:
        """For so long it keeps a page, whose titles may have been remembered when it was made."""
        return self.reuse_seconds - self.title_seconds

    def connections_per_process(self, processes: int) -> int:
        """One process's share of a container's connections to one database, at least one."""
        return max(1, self.database_connections // processes)
