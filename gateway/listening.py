"""The addresses that the gateway listens on, before its processes do."""

from __future__ import annotations

import socket
import sys
from collections.abc import Sequence
from ipaddress import ip_address

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


def refuse_public(addresses: Sequence[object]) -> None:
    """Exit when others than this host's own programs reach one of gunicorn's addresses, with AUTH=none."""
    for address in addresses:
        if not _is_local(address):
            shown = ":".join(map(str, address[:2])) if isinstance(address, tuple) else address
            sys.exit(
                f"gateway: AUTH=none would let whoever reaches {shown} ask for anything. Set up who may ask "
                "(docs/SECURITY.md), listen on 127.0.0.1, or say AUTH_NONE_PUBLIC=true as well."
            )


def _is_local(address: object) -> bool:
    """Whether only this host's programs reach it. What is inherited (fd://) may be anything."""
    if isinstance(address, tuple):
        try:
            return ip_address(address[0]).is_loopback
        except ValueError:
            return bool(address[0] == "localhost")
    return isinstance(address, str)  # a socket in the file system
