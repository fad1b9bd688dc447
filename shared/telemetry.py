"""Logs: one line each, to standard error, times in UTC, without secrets."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any, Final, TextIO, cast

from shared.scrubbing import Scrubber

# Of the HTTP request that is being answered; a dash where there is none.
request_id: ContextVar[str] = ContextVar("request_id", default="-")

_CHATTY: Final = ("celery.pool", "botocore", "aiobotocore")  # at DEBUG they show whole messages, and signed requests

_scrubber = Scrubber()  # of the process, as its standard output and error are


def configure_logging(level: str, secrets: Iterable[str] = ()) -> None:
    """Set up the process's log. level: DEBUG, INFO, WARNING or ERROR. secrets: what must not be seen in it, nor in
    anything else that the process writes to standard output and error, such as an error that nobody caught."""
    _scrubber.learn(secrets)
    sys.stdout, sys.stderr = _clean(sys.stdout), _clean(sys.stderr)
    formatter = logging.Formatter("%(asctime)s %(levelname)s %(name)s [%(process)d] [%(request_id)s] %(message)s")
    formatter.converter = time.gmtime
    formatter.default_msec_format = "%s.%03dZ"
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    handler.addFilter(_with_request_id)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(logging.INFO, logging.getLevelName(level)))


class _Clean:
    """A stream of text on which no secret is written. Here and not in the log's formatter, since libraries have logs of
    their own (gunicorn), and Python writes tracebacks to standard error itself."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(_scrubber.clean(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _clean(stream: TextIO) -> TextIO:
    return stream if isinstance(stream, _Clean) else cast(TextIO, _Clean(stream))


def _with_request_id(record: logging.LogRecord) -> bool:
    record.request_id = request_id.get()
    return True
