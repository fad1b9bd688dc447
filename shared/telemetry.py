"""Logs: one line each, to standard error, times in UTC."""

from __future__ import annotations

import logging
import time
from contextvars import ContextVar

# Of the HTTP request that is being answered; a dash where there is none.
request_id: ContextVar[str] = ContextVar("request_id", default="-")


def configure_logging(level: str) -> None:
    """Set up the process's log. level: DEBUG, INFO, WARNING or ERROR."""
    formatter = logging.Formatter("%(asctime)s %(levelname)s %(name)s [%(process)d] [%(request_id)s] %(message)s")
    formatter.converter = time.gmtime
    formatter.default_msec_format = "%s.%03dZ"
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    handler.addFilter(_with_request_id)
    logging.basicConfig(level=level, handlers=[handler], force=True)


def _with_request_id(record: logging.LogRecord) -> bool:
    record.request_id = request_id.get()
    return True
