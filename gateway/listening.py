"""The addresses that the gateway listens on, before its processes do."""

from __future__ import annotations

import socket
import sys
from collections.abc import Sequence

from gunicorn.util import is_ipv6


def refuse_unusable(addresses: Sequence[object]) -> None:
    """Exit, saying why, when nothing can listen on one of gunicorn's addresses, say because another program does.

    Each process has a socket of its own (`reuse_port`), and one that cannot listen would only be started again, for
    ever. What is no host and port is left to gunicorn.
    """
    for address in addresses:
        if not isinstance(address, tuple):
            continue
        with socket.socket(socket.AF_INET6 if is_ipv6(address[0]) else socket.AF_INET) as attempt:
            attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                attempt.bind(address)
                attempt.listen()
            except OSError as error:
                host, port = address[:2]
                sys.exit(f"gateway: it cannot listen on {host}:{port}, see WEB_BIND: {error.strerror or error}")
