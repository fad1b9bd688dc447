"""Logs: one line each, to standard error, times in UTC."""

from __future__ import annotations

import logging
import time


def configure_logging(level: str) -> None:
    """Set up the process's log. level: DEBUG, INFO, WARNING or ERROR."""
    formatter = logging.Formatter("%(asctime)s %(levelname)s %(name)s [%(process)d] %(message)s")
    formatter.converter = time.gmtime
    formatter.default_msec_format = "%s.%03dZ"
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    logging.basicConfig(level=level, handlers=[handler], force=True)
