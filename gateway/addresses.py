"""Where a request comes from, when it came by way of proxies that are ours."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final

from flask import Flask

from shared.setting_values import UNIX

_PREFIX: Final = 64  # bits of an IPv6 address that tell callers apart: whoever has one address has the rest of them

Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]


def register(app: Flask, proxies: Sequence[str]) -> None:
    """Let REMOTE_ADDR be the caller's, as trusted proxies tell it in X-Forwarded-For. Without any, what callers say of
    themselves there is not looked at."""
    if proxies:
        app.wsgi_app = _BehindProxies(app.wsgi_app, proxies)  # type: ignore[method-assign]


def network(address: str) -> str:
    """The address, or that part of it which tells callers apart."""
    if ":" not in address:
        return address
    return str(IPv6Address((int(IPv6Address(address.partition("%")[0])) >> 128 - _PREFIX) << 128 - _PREFIX))


class _BehindProxies:
    def __init__(self, app: Wsgi, proxies: Sequence[str]) -> None:
        self._app = app
        self._unix = UNIX in proxies
        self._networks: list[IPv4Network | IPv6Network] = [ip_network(entry) for entry in proxies if entry != UNIX]

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        environ["REMOTE_ADDR"] = self._caller(environ.get("REMOTE_ADDR", ""), environ.get("HTTP_X_FORWARDED_FOR", ""))
        return self._app(environ, start_response)

    def _caller(self, peer: str, forwarded: str) -> str:
        """The last address on the way that no trusted proxy has: who is before it can have been made up."""
        address = peer
        for entry in reversed([entry.strip() for entry in forwarded.split(",")]):
            if not self._trusts(address) or not _is_address(entry):
                break
            address = entry
        return address

    def _trusts(self, address: str) -> bool:
        if not address:
            return self._unix
        return _is_address(address) and any(ip_address(address) in network for network in self._networks)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
