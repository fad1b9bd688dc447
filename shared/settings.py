"""Every setting, its default and its reason. The only reader of the environment, with model_settings.py for a part.

A field's name in upper case is the variable that sets it; ``.env.example`` says the same to people, and a test
holds the two together. What values may be that are more than numbers is said in setting_values.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from shared.model_settings import ModelSettings
from shared.setting_values import (
    Address,
    CallbackHosts,
    CallbackNetworks,
    KeySetUrl,
    Origins,
    Proxies,
    Rate,
    SigningKeys,
    TokenSecrets,
)

AUTH_NONE: Final = "none"


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
    jwt_secret: TokenSecrets = Field(
        SecretStr(""),
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
    rate_single: Rate = Field("300/minute", description="a user's requests for lists and titles; none: any number")
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
    callback_secret: SigningKeys = Field(
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
    def _is_there_for_callbacks(cls, value: SecretStr, others: ValidationInfo) -> SecretStr:
        if not value.get_secret_value() and others.data.get("callback_hosts"):
            raise ValueError("required with CALLBACK_HOSTS")
        return value

    @field_validator("jwt_issuer", "jwt_audience")
    @classmethod
    def _is_there_for_tokens(cls, value: str, others: ValidationInfo) -> str:
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
