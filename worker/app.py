"""Puts the worker together: the Celery application, its tasks, and its lifecycle."""

from __future__ import annotations

import logging
import socket
from typing import Any

from celery import Celery, signals

from shared import broker
from shared.parts import Parts
from shared.settings import Settings
from shared.telemetry import configure_logging
from worker import tasks
from worker.reconciler import Reconciler

_log = logging.getLogger(__name__)


def create_app(settings: Settings) -> Celery:
    """The worker's Celery application. Nothing connects before the worker runs."""
    app = broker.celery_app(settings, "worker")
    app.conf.update(
        task_acks_late=True,
        task_reject_on_worker_lost=False,  # the reconciler puts a lost chunk back, and counts how often
        worker_prefetch_multiplier=1,
        worker_concurrency=settings.worker_concurrency,
        worker_hijack_root_logger=False,
        worker_cancel_long_running_tasks_on_connection_loss=True,
        worker_soft_shutdown_timeout=25,
        worker_enable_remote_control=False,  # nothing here uses it, and each worker would keep a queue of its own
        worker_send_task_events=False,
    )
    tasks.register(app, lambda: _process_parts(app, settings))
    _connect_lifecycle(app, settings)
    return app


def _build(app: Celery, settings: Settings, *, processes: int) -> Parts:
    return Parts.build(settings, processes=processes, threads=1, publish=broker.publisher(app))


def _process_parts(app: Celery, settings: Settings) -> Parts:
    """The parts of the pool's process that runs the task."""
    parts = getattr(app, "parts", None)
    if parts is None:
        parts = _build(app, settings, processes=settings.worker_concurrency + 1)
        parts.start()
        app.parts = parts
    return parts


def _connect_lifecycle(app: Celery, settings: Settings) -> None:
    """Tie the parts to the processes: each of the pool's gets its own after the fork, and the parent has those that
    the heartbeat and the reconciler need."""

    def logging_is_ours(**_: Any) -> None:
        configure_logging(settings.log_level)

    def process_starts(**_: Any) -> None:
        _process_parts(app, settings)

    def process_ends(**_: Any) -> None:
        if parts := getattr(app, "parts", None):
            parts.close()

    def worker_starts(sender: Any, **_: Any) -> None:
        parts = _build(app, settings, processes=settings.worker_concurrency + 1)
        app.reconciler = Reconciler(parts.ledger, parts.jobs, worker=f"{socket.gethostname()}:{sender.hostname}")
        app.reconciler.start()
        _log.info("worker is ready: %s processes", settings.worker_concurrency)

    def worker_ends(**_: Any) -> None:
        if reconciler := getattr(app, "reconciler", None):
            reconciler.stop()

    signals.setup_logging.connect(logging_is_ours, weak=False)
    signals.worker_process_init.connect(process_starts, weak=False)
    signals.worker_process_shutdown.connect(process_ends, weak=False)
    signals.worker_ready.connect(worker_starts, weak=False)
    signals.worker_shutting_down.connect(worker_ends, weak=False)
