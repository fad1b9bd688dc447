"""Puts the worker together: the Celery application, its tasks, its guard at the broker, and its lifecycle."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import warnings
from pathlib import Path
from typing import Any, Final

from celery import Celery, bootsteps, signals
from celery.exceptions import CPendingDeprecationWarning
from celery.utils.nodenames import default_nodename, host_format

from shared import broker
from shared.errors import DatabaseUnavailable
from shared.forking import prepare_to_fork
from shared.parts import Parts
from shared.settings import Settings
from shared.telemetry import configure_logging
from worker import tasks
from worker.guard.connection import guarded_connection
from worker.guard.dead_letters import DeadLetters
from worker.guard.guard import Guard
from worker.parent import Parent
from worker.pool import Pool
from worker.pulse import pulse
from worker.requests import request_class
from worker.shutdown import Shutdown, ignore_signals

_BASE64: Final = 2  # times as large, at most, are a body in base64 and its envelope
_PROCESS_START_SECONDS: Final = 120.0  # of the pool: it reads titles and the model, perhaps from slow databases
_LOOK_SECONDS: Final = 0.5  # a process that died is noticed by then; by Celery at once, or else after 5 s

_log = logging.getLogger(__name__)


class Worker:
    """A worker from its start to its end. Nothing connects before `run`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"  # unique; the pool has it, too
        self._process_parts: Parts | None = None
        self._app = broker.celery_app(settings, "worker")
        self._app.conf.update(_configuration(self._app, settings))
        self._parent = Parent(self._build, broker.reply_sender(self._app), worker=self._name)
        self._shutdown = Shutdown(grace_seconds=settings.grace_seconds, give_back=self._parent.give_back)
        send = broker.dead_letter_sender(self._app, most=settings.dead_letters)
        dead_letters = DeadLetters(send, seconds=settings.dead_letter_seconds)
        guard = Guard(dead_letters, most_bytes=_BASE64 * settings.request_bytes)
        self._app.amqp.Connection = guarded_connection(guard)
        tasks.register(
            self._app,
            self._parts,
            dead_letters,
            worker=self._name,
            lease_seconds=settings.lease_seconds,
            request=request_class(self._parent.lost, self._shutdown.grace_is_over),
            publish_blocks=broker.block_publisher(self._app),
        )

    def run(self, *, hostname: str, pulse_file: Path | None = None) -> int:
        """Work until stopped; returns the exit code. hostname: Celery's name for the worker, in which %h is the host.
        pulse_file: touched while the queue is being read. Raises ConfigurationError when jobs_db is newer than this."""
        self._refuse_newer_ledger()
        prepare_to_fork()
        self._connect_signals()
        warnings.simplefilter("ignore", CPendingDeprecationWarning)  # Celery's, at each connection that is lost
        self._app.steps["worker"].add(self._after_fork())
        self._app.steps["consumer"].add(self._after_connect())
        if pulse_file is not None:
            self._app.steps["consumer"].add(pulse(pulse_file))
        worker = self._app.Worker(
            hostname=host_format(default_nodename(hostname)),
            loglevel=self._settings.log_level,
            pool=Pool,
            quiet=True,
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
        )
        worker.start()
        self._shutdown.finish()
        self._parent.stop()
        return int(worker.exitcode or 0)

    def _refuse_newer_ledger(self) -> None:
        """Raises ConfigurationError: in the pool's processes, Celery would pass over that."""
        parts = self._build()
        try:
            parts.ledger.prepare()
        except DatabaseUnavailable as error:
            _log.warning("%s", error)
        finally:
            parts.close()

    def _build(self) -> Parts:
        processes = self._settings.worker_concurrency + 1
        return Parts.build(self._settings, processes=processes, threads=1, publish=broker.publisher(self._app))

    def _parts(self) -> Parts:
        """The parts of the pool's process that runs the task."""
        if self._process_parts is None:
            self._process_parts = self._build()
            self._process_parts.start()
        return self._process_parts

    def _after_fork(self) -> type[bootsteps.StartStopStep]:
        """A part of Celery's worker that starts ours when the pool's processes are there: nothing that connects, and no
        thread, is to be forked."""
        parent, shutdown = self._parent, self._shutdown

        class AfterFork(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery has no types
            requires = ("celery.worker.components:Pool",)

            def start(self, worker: Any) -> None:
                worker.hub.call_repeatedly(_LOOK_SECONDS, worker.pool.maintain_pool)
                shutdown.watch(worker)
                parent.start()

        return AfterFork

    def _after_connect(self) -> type[bootsteps.StartStopStep]:
        """A part of Celery's consumer that runs at each connection to RabbitMQ."""
        limits = {"most": self._settings.dead_letters, "seconds": self._settings.dead_letter_seconds}

        class AfterConnect(bootsteps.StartStopStep):  # type: ignore[misc]
            requires = ("celery.worker.consumer:Connection",)

            def include_if(self, consumer: Any) -> bool:
                return bool(consumer.conninfo.transport.driver_type == "amqp")

            def start(self, consumer: Any) -> None:
                broker.declare_dead_letters(consumer.connection, **limits)

        return AfterConnect

    def _connect_signals(self) -> None:
        def logging_is_ours(**_: Any) -> None:
            configure_logging(self._settings.log_level, self._settings.secrets())

        def process_starts(**_: Any) -> None:
            ignore_signals()
            self._parts()

        def process_ends(**_: Any) -> None:
            if self._process_parts is not None:
                self._process_parts.close()

        def is_ready(**_: Any) -> None:
            _log.info("worker %s is ready: %s processes", self._name, self._settings.worker_concurrency)

        signals.setup_logging.connect(logging_is_ours, weak=False)
        signals.worker_process_init.connect(process_starts, weak=False)
        signals.worker_process_shutdown.connect(process_ends, weak=False)
        signals.worker_ready.connect(is_ready, weak=False)


def _configuration(app: Celery, settings: Settings) -> dict[str, Any]:
    redis = app.connection_for_read().transport.driver_type == "redis"
    return {
        "worker_consumer": "worker.guard.connection:Consumer",
        "worker_concurrency": settings.worker_concurrency,
        "worker_prefetch_multiplier": 1,
        "worker_disable_prefetch": redis,  # a message is taken when a process is free for it; RabbitMQ counts by itself
        "worker_enable_prefetch_count_reduction": False,
        "worker_cancel_long_running_tasks_on_connection_loss": False,  # the ledger dismisses the message that returns
        "worker_proc_alive_timeout": _PROCESS_START_SECONDS,
        "worker_hijack_root_logger": False,
        "worker_enable_remote_control": False,  # nothing here uses it, and each worker would keep a queue of its own
        "worker_send_task_events": False,
        "broker_channel_error_retry": True,  # what Redis refuses for a while must not end the worker
    }
