"""The parts both doors are made of, put together once. Call it in the process that uses them, never before a fork."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from shared.cache import ListCache
from shared.callbacks import CallbackPolicy
from shared.databases import Bounds, Database
from shared.discovery import Discovery
from shared.errors import DatabaseUnavailable
from shared.job_results import JobResults
from shared.jobs import JobPolicy, Jobs
from shared.lists import Lists
from shared.model_settings import ModelSettings
from shared.model_store import ModelStore
from shared.pages import Pages
from shared.pins import Pins
from shared.publishing import Publish, Publishing
from shared.recommender import Recommender
from shared.redis_store import RedisStore
from shared.refresher import Intervals, Refresher
from shared.repositories.catalog import CatalogRepository
from shared.repositories.chunks import ChunkRepository
from shared.repositories.engagement import EngagementRepository
from shared.repositories.jobs import JobRepository
from shared.repositories.ledger import Ledger
from shared.repositories.outbox import OutboxRepository
from shared.repositories.users import UserRepository
from shared.repositories.workers import WorkerRepository
from shared.results import ResultStore
from shared.scorer import Weights, warm_up
from shared.settings import Settings
from shared.strengths import Strengths
from shared.titles import Titles
from shared.trends import Times, Trends
from shared.upkeep import Upkeep
from shared.write_behind import WriteBehind

_TRENDS_SECONDS = 600.0  # how long what is popular in a window of time is kept
_SLOW_TRENDS_SECONDS = 60.0  # before a count that was too slow is tried again


@dataclass(frozen=True)
class Databases:
    """The three that are only read, and our own."""

    user: Database
    catalog: Database
    engagement: Database
    jobs: Database

    @classmethod
    def connect(cls, settings: Settings, *, processes: int) -> Databases:
        """Pools that share a container's connections out over its processes; nothing connects before it is used."""
        bounds = Bounds(
            connections=settings.connections_per_process(processes),
            checkout=settings.database_checkout_seconds,
            connect=settings.database_connect_seconds,
            statement=settings.database_statement_seconds,
            bulk=settings.database_bulk_seconds,
            pause=settings.retry_pause_seconds,
        )
        return cls(
            user=Database("user_db", settings.user_db_url.get_secret_value(), bounds, read_only=True),
            catalog=Database("catalog_db", settings.catalog_db_url.get_secret_value(), bounds, read_only=True),
            engagement=Database("engagement_db", settings.engagement_db_url.get_secret_value(), bounds, read_only=True),
            jobs=Database("jobs_db", settings.jobs_db_url.get_secret_value(), bounds, read_only=False),
        )

    def all(self) -> tuple[Database, ...]:
        """Every one of them."""
        return self.user, self.catalog, self.engagement, self.jobs


def weights_of(settings: ModelSettings) -> Weights:
    """How lists are made, as it is set."""
    return Weights(settings.content_weight, settings.pool_size, settings.list_depth, settings.new_titles)


@dataclass(frozen=True)
class Parts:
    """One process's working set."""

    settings: Settings
    databases: Databases
    redis: RedisStore
    kept: WriteBehind
    models: ModelStore
    refresher: Refresher
    titles: Titles
    recommender: Recommender
    discovery: Discovery
    ledger: Ledger
    workers: WorkerRepository
    results: JobResults
    jobs: Jobs
    upkeep: Upkeep

    @classmethod
    def build(cls, settings: Settings, *, processes: int, threads: int, publish: Publish) -> Parts:
        """Make the parts for one of a container's processes. Nothing connects yet: see `start`."""
        databases = Databases.connect(settings, processes=processes)
        redis = RedisStore(
            settings.redis_url.get_secret_value(),
            timeout_seconds=settings.redis_timeout_seconds,
            pause_seconds=settings.retry_pause_seconds,
            connections=threads + 2,  # readiness and the refresher come on top
        )
        catalog, engagement = CatalogRepository(databases.catalog), EngagementRepository(databases.engagement)
        models = ModelStore.at(settings.model_store, cache=settings.model_cache)
        refresher = Refresher(
            catalog=catalog,
            engagement=engagement,
            models=models,
            intervals=Intervals(
                catalogue=settings.catalogue_refresh_seconds,
                model=settings.model_check_seconds,
                after_failure=settings.retry_pause_seconds,
            ),
            popularity_half_life_days=settings.popularity_half_life_days,
        )
        kept = WriteBehind(redis)
        titles = Titles(catalog, kept, reuse_seconds=settings.title_seconds)
        pages = Pages(titles)
        lists = Lists(
            ListCache(kept, life_seconds=settings.cache_seconds),
            Pins(redis, life_seconds=settings.cursor_seconds),
            pages,
        )
        weights, strengths = weights_of(settings), Strengths.from_settings(settings)
        recommender = Recommender(
            users=UserRepository(databases.user),
            engagement=engagement,
            lists=lists,
            snapshot=refresher.current,
            weights=weights,
            strengths=strengths,
            history_length=settings.history_length,
        )
        discovery = Discovery(
            lists=lists,
            trends=Trends(
                engagement,
                redis,
                Times(
                    life=_TRENDS_SECONDS,
                    wait=settings.database_statement_seconds,
                    pause=settings.retry_pause_seconds,
                    slow_pause=_SLOW_TRENDS_SECONDS,
                ),
            ),
            snapshot=refresher.current,
            weights=weights,
            strengths=strengths,
        )
        ledger = Ledger(databases.jobs, result_seconds=settings.result_seconds)
        jobs, chunks = JobRepository(ledger), ChunkRepository(ledger)
        workers = WorkerRepository(ledger, silence_seconds=settings.silence_seconds)
        publishing = Publishing(
            OutboxRepository(ledger),
            publish,
            window=settings.chunks_in_flight,
            republish_seconds=settings.republish_seconds,
            pause_seconds=settings.retry_pause_seconds,
            publish_seconds=settings.publish_seconds,
        )
        results = JobResults(
            jobs=jobs,
            chunks=chunks,
            recommender=recommender,
            store=ResultStore(redis, life_seconds=settings.result_seconds),
            pages=pages,
        )
        return cls(
            settings=settings,
            databases=databases,
            redis=redis,
            kept=kept,
            models=models,
            refresher=refresher,
            titles=titles,
            recommender=recommender,
            discovery=discovery,
            ledger=ledger,
            workers=workers,
            results=results,
            jobs=Jobs(
                jobs=jobs,
                chunks=chunks,
                results=results,
                publishing=publishing,
                check_callback=CallbackPolicy.from_settings(settings).check_host,
                policy=JobPolicy(
                    chunk_users=settings.chunk_users,
                    queue_users=settings.queue_users,
                    caller_users=settings.caller_users,
                    caller_jobs=settings.caller_jobs,
                    job_seconds=settings.job_seconds,
                    lease_seconds=settings.lease_seconds,
                    pause_seconds=settings.retry_pause_seconds,
                ),
            ),
            upkeep=Upkeep(
                jobs=jobs,
                chunks=chunks,
                workers=workers,
                publishing=publishing,
                silence_seconds=settings.silence_seconds,
                retention_seconds=settings.retention_seconds,
            ),
        )

    def start(self) -> None:
        """Get ready to score, bring jobs_db up to date if it answers, and read titles and model for the first time."""
        warm_up()
        with contextlib.suppress(DatabaseUnavailable):
            self.ledger.prepare()
        self.refresher.start()

    def close(self) -> None:
        """Stop the background and close every connection."""
        self.refresher.stop()
        self.kept.close()
        for database in self.databases.all():
            database.close()
        self.redis.close()
