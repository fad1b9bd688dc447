"""What gunicorn refuses before the application sees it, told as everything else is: with a problem document."""

from __future__ import annotations

import logging
import re
import socket
from http import HTTPStatus
from typing import Final
from uuid import uuid4

import orjson
from gunicorn import util

from gateway.errors import of_any_status
from gateway.rendering import PROBLEM
from gateway.request_ids import HEADER as REQUEST_ID
from shared.documents import ProblemDocument

_log = logging.getLogger(__name__)

_HEAD: Final = """HTTP/1.1 {status} {phrase}\r
Connection: close\r
Content-Type: {media_type}\r
Content-Length: {length}\r
Cache-Control: no-store\r
{request_id_header}: {request_id}\r
\r
"""

# What gunicorn quotes of a request may be a caller's key.
_QUOTED: Final = re.compile(r"""(?:^|:? )b?(?:'(?!limit )|").*""", re.DOTALL)
_INVALID: Final = "Invalid request from ip="


def show_no_request(record: logging.LogRecord) -> bool:
    """A filter for gunicorn's log, which shows requests that it cannot read or that fail."""
    if record.getMessage().startswith(_INVALID):
        ip, _, what = record.getMessage().removeprefix(_INVALID).partition(": ")
        record.msg, record.args = f"{_INVALID}%s: %s", (ip, _QUOTED.sub("", what))
    elif isinstance(record.args, tuple):
        record.args = tuple(re.sub(r"\?.*", "?...", one) if isinstance(one, str) else one for one in record.args)
    return True


def write(client: socket.socket, status: int, _reason: str, message: str) -> None:
    """Answer a request that can't be read, in the place of gunicorn.util.write_error. message: what gunicorn says is
    wrong."""
    problem = of_any_status(status)
    message = _QUOTED.sub("", message)
    document: ProblemDocument = {
        "type": problem.address,
        "title": problem.title,
        "status": status,
        "detail": f"{message}. {problem.advice}" if message else problem.advice,
    }
    name = uuid4()
    _log.info("request %s: %d, %s", name, status, message)
    body = orjson.dumps(document)
    head = _HEAD.format(
        status=status,
        phrase=HTTPStatus(status).phrase,
        media_type=PROBLEM,
        length=len(body),
        request_id_header=REQUEST_ID,
        request_id=name,
    )
    util.write_nonblock(client, head.encode() + body)
