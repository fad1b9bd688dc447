"""Addresses of servers, as far as they say how the way there is kept: TLS that verifies nothing is none."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qs, urlsplit

from shared.errors import ConfigurationError

# Exactly these: of other words the libraries make each something else, and kombu of some no verification at all.
_VERIFIED: Final = {"ssl_cert_reqs": {"required"}, "ssl_check_hostname": {"True", "true"}}


def refuse_unverified(setting: str, address: str) -> None:
    """Refuse an address of Redis or RabbitMQ, or one of several with `;` between, over which anybody could answer in
    the server's place although TLS was meant. The message has no part of the address. Raises ConfigurationError."""
    addresses = [urlsplit(one) for one in address.split(";")]
    if len({one.scheme for one in addresses}) > 1:
        raise ConfigurationError(f"{setting}: all addresses must be of one kind; else the way would be open with some")
    for one in addresses:
        options = parse_qs(one.query, keep_blank_values=True)
        asked = sorted(name for name in options if name.startswith("ssl_"))
        if asked and one.scheme.startswith(("amqp", "pyamqp")):
            raise ConfigurationError(f"{setting}: {asked[0]}: not taken for RabbitMQ; see docs/OPERATIONS.md, 12")
        if asked and one.scheme != "rediss":
            raise ConfigurationError(f"{setting}: {asked[0]} asks for TLS, and {one.scheme}:// has none: say rediss://")
        for name, verified in _VERIFIED.items():
            if not all(value in verified for value in options.get(name, [])):
                raise ConfigurationError(f"{setting}: {name} switches off what TLS is for: the server must be verified")
