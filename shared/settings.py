"""Every setting, its default and its reason. The only reader of the environment.

A field's name in upper case is the variable that sets it; ``.env.example`` says the same to people, and a test
holds the two together.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.errors import ConfigurationError


class Settings(BaseSettings):
    """The service's configuration: typed, checked at start, never changed afterwards."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    # Where things are. The three foreign databases are only ever read.
    user_db_url: SecretStr = Field(description="PostgreSQL with user_preferences and tb_user_genre")
    catalog_db_url: SecretStr = Field(description="PostgreSQL with medias and tb_media_genre")
    engagement_db_url: SecretStr = Field(description="PostgreSQL with interaction")
    jobs_db_url: SecretStr = Field(
        description="PostgreSQL the service owns: the ledger of jobs; its tables are made at start"
    )
    redis_url: SecretStr = Field(description="Redis or Valkey for the cache and the jobs' results")
    broker_url: SecretStr = Field(description="Celery's broker; another database number or server than REDIS_URL")
    model_dir: Path = Field(description="folder of model versions; workers write it, gateways only read it")

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
    result_seconds: int = Field(86_400, ge=60, le=2_592_000, description="life of a finished job's results")

    # What is down is tried again after this pause; until then it is passed over at once.
    retry_pause_seconds: float = Field(
        2.0, gt=0, le=60, description="pause before a failed cache or database is tried again"
    )

    # Ranking.
    content_weight: float = Field(
        0.4, ge=0, le=1, description="weight of matching genres in the hybrid; the rest is collaborative"
    )
    list_depth: int = Field(200, ge=1, le=1000, description="titles ranked per user; offset + limit reach no further")
    pool_size: int = Field(100, ge=1, le=1000, description="best collaborative titles that the hybrid re-ranks")
    history_length: int = Field(500, ge=1, le=10_000, description="newest liked or watched titles that are scored from")
    popularity_half_life_days: float = Field(
        365.0, gt=0, description="age at which an interaction counts half towards popularity"
    )

    # Freshness.
    catalogue_refresh_seconds: float = Field(
        60.0, gt=0, le=3600, description="how often titles and genres are read again"
    )
    model_check_seconds: float = Field(2.0, gt=0, le=60, description="how often a new model version is looked for")

    # Training.
    model_neighbours: int = Field(200, ge=1, le=10_000, description="strongest neighbours kept per title")
    model_history_exponent: float = Field(
        0.5, ge=0, le=1, description="a: damping by the popularity of the title in the history"
    )
    model_user_exponent: float = Field(0.0, ge=0, le=1, description="b: damping by the number of titles a user has")
    model_title_exponent: float = Field(
        0.5, ge=0, le=1, description="c: damping by the popularity of the title recommended"
    )
    model_versions_kept: int = Field(
        3, ge=1, le=100, description="model versions kept on disk, the current one included"
    )
    training_threads: int = Field(0, ge=0, le=256, description="threads of the matrix product; 0 means every processor")

    # Requests and jobs.
    batch_sync_users: int = Field(50, ge=1, le=1000, description="users of a batch answered at once; more become a job")
    job_users: int = Field(100_000, ge=1, le=1_000_000, description="users of one job")
    chunk_users: int = Field(500, ge=1, le=10_000, description="users a worker scores at a time")
    lease_seconds: int = Field(
        120, ge=5, le=3600, description="how long a worker may hold a chunk before another may take it"
    )
    request_bytes: int = Field(8_000_000, ge=1024, description="largest request body; 100,000 ids are 4 MB")
    client_seconds: float = Field(
        10.0, gt=0, le=300, description="longest pause of a client that sends a body or takes an answer"
    )
    publish_seconds: float = Field(2.0, gt=0, le=30, description="longest wait for the broker to take a message")

    # Processes.
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="DEBUG, INFO, WARNING or ERROR")
    web_concurrency: int = Field(4, ge=1, le=64, description="gunicorn processes")
    web_threads: int = Field(2, ge=1, le=64, description="threads of each gunicorn process")
    web_bind: str = Field("0.0.0.0:8000", description="address the gateway listens on")
    worker_concurrency: int = Field(2, ge=1, le=64, description="Celery processes of one worker")

    @classmethod
    def from_environment(cls) -> Settings:
        """Read the environment once.

        Raises ConfigurationError naming every variable that is missing or out of range, never its value.
        """
        try:
            return cls()  # the required fields come from the environment
        except ValidationError as error:
            wrong = [f"{'_'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors(include_input=False)]
            raise ConfigurationError("settings to mend (see .env.example): " + "; ".join(wrong)) from None

    @property
    def collaborative_weight(self) -> float:
        """The hybrid's other weight: what content leaves."""
        return 1.0 - self.content_weight

    def connections_per_process(self, processes: int) -> int:
        """One process's share of a container's connections to one database, at least one."""
        return max(1, self.database_connections // processes)
