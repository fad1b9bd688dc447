"""gunicorn's settings, from the service's own.

Start with: gunicorn -c gateway/gunicorn.conf.py "gateway.app:create_app()"
"""

import gc
import logging
import sys

gc.disable()  # What is imported stays: to look through it for garbage, time and again, makes a start longer.

from functools import partial
from pathlib import Path
from typing import Any

from gunicorn import util
from gunicorn.workers import gthread

import gateway.app  # in the parent, whose processes then share it
from gateway import listening, refusals
from gateway.slow_clients import PatientConnection
from shared.errors import ConfigurationError
from shared.forking import prepare_to_fork
from shared.settings import AUTH_NONE, Settings
from shared.telemetry import configure_logging

gc.freeze()  # else the first collection would look through all of it after all
gc.enable()  # here and not before the fork: a reload (SIGHUP) reads this file again, and calls no on_starting

try:
    _settings = Settings.from_environment()
except ConfigurationError as error:
    sys.exit(f"gateway: {error}")

configure_logging(_settings.log_level, _settings.secrets())  # in the parent; its processes inherit it

bind = _settings.web_bind
# A socket for each process. On one that they share, whoever wakes first gets all of a few connections that stay.
reuse_port = not bind.startswith(("unix:", "fd://"))
worker_class = "gthread"
workers = _settings.web_concurrency
threads = _settings.web_threads
preload_app = False  # pools and threads belong to the process that uses them
timeout = 60  # s without a sign of life from a process; a request's own bounds are far shorter
graceful_timeout = 30  # s that running requests get on a stop
keepalive = 5  # s
limit_request_line = 8190  # bytes, the most there may be: filters of a GET are in it
limit_request_fields = 64  # of a header; browsers and proxies send twenty, thirty
limit_request_field_size = 8190  # bytes of each, name and all
control_socket_disable = True  # it would need a writable home
accesslog = None
errorlog = "-"
loglevel = _settings.log_level.lower()
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 # nosec B108 # heartbeats must not wait for a disk

# There are no settings for these.
util.write_error = refusals.write
logging.getLogger("gunicorn.error").addFilter(refusals.show_no_request)
gthread.TConn = partial(PatientConnection, _settings.client_seconds)


def on_starting(server: Any) -> None:
    """In the parent, and once: its processes share what is imported and compiled."""
    if not server.master_pid:  # else it replaces one that still listens there (SIGUSR2)
        listening.refuse_unusable(server.address)
    if _settings.auth == AUTH_NONE and not _settings.auth_none_public:
        listening.refuse_public(server.address)
    prepare_to_fork()


def worker_exit(_server: object, worker: Any) -> None:
    """Close a process's connections when it ends."""
    application = getattr(worker, "wsgi", None)
    if application is not None:
        gateway.app.close(application)
