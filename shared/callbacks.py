"""Who may be called when a job has ended: hosts that the operator listed, and no network that is not public.

Whoever may submit a job names an address, and the service calls it from inside its own network, where more doors stand
open than outside (SSRF). So the host must be on a list when the job is submitted, and the IP address behind it, at the
moment of the call, must be public or in a private network that is on a list, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

from shared.errors import FieldProblem, InvalidRequest
from shared.setting_values import entries
from shared.settings import Settings

_USUAL_PORTS: Final = {"https": 443, "http": 80}

# Of IPv6 only this is given out to the public; outside it lie ::ffff:0:0/96 and 64:ff9b::/96, which stand for IPv4.
_PUBLIC_IPV6: Final = IPv6Network("2000::/3")
# What not every Python we run on knows to be not global; 2002::/16 (6to4) stands for IPv4, as Teredo's 2001::/32 does.
_NOT_PUBLIC: Final = tuple(map(ip_network, ("192.0.0.0/24", "192.88.99.0/24", "2001::/23", "2002::/16", "3fff::/20")))


@dataclass(frozen=True, slots=True)
class CallbackTarget:
    """A callback's address, taken apart once, so that what is checked is what is called."""

    scheme: str  # https or http
    host: str  # lower case, without a dot at the end; an IPv6 address without brackets
    port: int
    resource: str  # path and query

    @classmethod
    def parse(cls, url: str) -> CallbackTarget:
        """Take an address apart. Raises ValueError for what is none of https or http, or names a user."""
        parts = urlsplit(url)
        scheme, host, port = parts.scheme, parts.hostname or "", parts.port
        plain = url.isascii() and url.isprintable() and " " not in url
        if not plain or scheme not in _USUAL_PORTS or not host or "@" in parts.netloc or port == 0:
            raise ValueError("not an address such as https://hooks.example.com/done")
        resource = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(scheme, host.removesuffix("."), port or _USUAL_PORTS[scheme], resource)

    @property
    def url(self) -> str:
        """The address, written in the one way for all that mean the same."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _USUAL_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.resource}"

    @property
    def encrypted(self) -> bool:
        """True of https."""
        return self.scheme == "https"


@dataclass(frozen=True, slots=True)
class CallbackPolicy:
    """What may be called back."""

    hosts: frozenset[str]  # lower case; on the usual port, or on the one that follows after a colon
    networks: tuple[IPv4Network | IPv6Network, ...]  # private ones that may be called, also without TLS

    @classmethod
    def from_settings(cls, settings: Settings) -> CallbackPolicy:
        """The policy that the operator set."""
        return cls(
            hosts=frozenset(entries(settings.callback_hosts.lower())),
            networks=tuple(map(ip_network, entries(settings.callback_networks))),
        )

    def check_host(self, url: str) -> CallbackTarget:
        """What to call; what will never be called is refused, as far as that can be told without asking the DNS. Raises
        InvalidRequest naming `callback_url`."""
        try:
            target = CallbackTarget.parse(url)
        except ValueError as error:
            raise _refusal(str(error)) from None
        if not self._lists(target):
            raise _refusal(f"{target.host} on port {target.port} may not be called back")
        if not target.encrypted and not self.networks:
            raise _refusal("it must be https")
        if (literal := _literal(target.host)) and not self.permits(literal, encrypted=target.encrypted):
            raise _refusal(f"{target.host} is in no network that may be called back with {target.scheme}")
        return target

    def permits(self, address: str | IPv4Address | IPv6Address, *, encrypted: bool) -> bool:
        """Whether this IP address may be called: with TLS when it is public, and either way when it is in one of the
        networks. Raises ValueError for what is no IP address."""
        ip = ip_address(address)
        return any(ip in network for network in self.networks) or (encrypted and _is_public(ip))

    def _lists(self, target: CallbackTarget) -> bool:
        literal = _literal(target.host)
        host = f"[{literal}]" if isinstance(literal, IPv6Address) else target.host
        on_usual_port = target.port == _USUAL_PORTS[target.scheme]
        return f"{host}:{target.port}" in self.hosts or (on_usual_port and host in self.hosts)


def _is_public(ip: IPv4Address | IPv6Address) -> bool:
    if ip.is_multicast or not ip.is_global or any(ip in network for network in _NOT_PUBLIC):
        return False
    return isinstance(ip, IPv4Address) or ip in _PUBLIC_IPV6


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    """The IP address that a host is, None for a name; 127.1 and 0177.0.0.1 are names, and on no list."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def _refusal(message: str) -> InvalidRequest:
    problem = FieldProblem("callback_url", message, "an address whose host the operator of the service has listed")
    return InvalidRequest(f"callback_url: {message}", [problem])
