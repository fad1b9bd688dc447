"""What the values of settings may be that are more than numbers: hosts, networks, addresses, rates, secrets.

Each is refused in words that show nothing of it.
"""

from __future__ import annotations

import contextlib
import re
from base64 import b64decode
from ipaddress import ip_address, ip_network
from typing import Annotated, Final

from pydantic import AfterValidator, SecretStr

ANY_RATE: Final = "none"
UNIX: Final = "unix"  # callers that come over a socket of this host

# The last label of a name begins with a letter: 127.1, 2130706433 and 0x7f000001 are addresses to some programs.
_HOST: Final = re.compile(
    r"(?:(?P<name>([a-z0-9_-]{1,63}\.)*[a-z][a-z0-9_-]{0,62})|(?P<ipv4>[0-9.]+)|\[(?P<ipv6>[0-9a-f:]+)\])"
    r"(:(?P<port>[1-9][0-9]{0,4}))?"
)
_URL: Final = re.compile(r"[a-z][a-z0-9+.-]*://(?P<rest>.*)", re.DOTALL | re.IGNORECASE)
_NEXT_URL: Final = re.compile(r";(?=[a-z][a-z0-9+.-]*://)", re.IGNORECASE)  # kombu takes several brokers
_USER: Final = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:%-]*")  # and a password, as RFC 3986 has them
_SERVERS: Final = re.compile(r"(?:\[[^]]*\]|[^:,[\]]*)(?::[0-9]*)?(?:,(?:\[[^]]*\]|[^:,[\]]*)(?::[0-9]*)?)*")
_SIGNING_KEY: Final = re.compile(r"whsec_(?P<base64>.+)")  # by the Standard Webhooks scheme, as is the length
_SIGNING_KEY_BYTES: Final = range(24, 65)
_RATE: Final = re.compile(rf"[1-9][0-9]{{0,8}}/(second|minute|hour|day)|{ANY_RATE}")
_SECRET_BYTES: Final = 32  # RFC 7518, 3.2: no fewer than the hash has


def entries(text: str) -> list[str]:
    """The entries of a setting that lists several, separated by commas."""
    return [entry.strip() for entry in text.split(",") if entry.strip()]


def _is_host(entry: str) -> bool:
    """A name in ASCII, an IPv4 address or [an IPv6 address], each as it is usually written, perhaps with a port."""
    found = _HOST.fullmatch(entry.lower())
    if found is None or int(found["port"] or 1) > 65535:
        return False
    literal = found["ipv4"] or found["ipv6"]
    with contextlib.suppress(ValueError):
        return literal is None or str(ip_address(literal)) == literal
    return False


def _callback_hosts(value: str) -> str:
    for number, entry in enumerate(entries(value), 1):
        if not _is_host(entry):
            raise ValueError(f"entry {number} is no host such as hooks.example.com or hooks.example.com:8443")
    return value


def _callback_networks(value: str) -> str:
    for number, entry in enumerate(entries(value), 1):
        try:
            ip_network(entry)
        except ValueError:
            raise ValueError(f"entry {number} is no network such as 10.1.0.0/16") from None
    return value


def _origins(value: str) -> str:
    for number, entry in enumerate(entries(value), 1):
        scheme, _, host = entry.partition("://")
        if scheme not in ("http", "https") or host.startswith("[") or not _is_host(host):
            raise ValueError(f"entry {number} is no origin such as https://app.example.com")
    return value


def _key_set_url(value: str) -> str:
    scheme, _, rest = value.partition("://")
    host = rest.partition("/")[0]
    here = host.rpartition(":")[0] in ("127.0.0.1", "localhost", "[::1]")  # what others cannot reach, for trying out
    if value and (not _is_host(host) or (scheme != "https" and not (scheme == "http" and here))):
        raise ValueError("not an address such as https://login.example.com/.well-known/jwks.json")
    return value


def _rate(value: str) -> str:
    if _RATE.fullmatch(value) is None:
        raise ValueError("no rate such as 300/minute, 10/second or 5000/hour, nor none")
    return value


def _proxies(value: str) -> str:
    for number, entry in enumerate(entries(value), 1):
        try:
            if entry != UNIX:
                ip_network(entry)
        except ValueError:
            raise ValueError(f"entry {number} is no network such as 10.0.0.0/8, nor unix") from None
    return value


def _address(value: SecretStr) -> SecretStr:
    """Refuses what a library would take apart in another way than was meant: it would take a piece of a password for a
    host or a port, and say so in its errors."""
    for address in _NEXT_URL.split(value.get_secret_value()):
        if found := _URL.fullmatch(address):
            user, _, rest = found["rest"].rpartition("@")
            if not _USER.fullmatch(user):
                raise ValueError("a name or password in it is not percent-encoded: %2F for /, %23 for #, %40 for @")
            if not _SERVERS.fullmatch(re.split("[/?#]", rest, maxsplit=1)[0]):
                raise ValueError("its host or port is none")
    return value


def _is_signing_key(secret: str) -> bool:
    with contextlib.suppress(ValueError):
        found = _SIGNING_KEY.fullmatch(secret)
        return found is not None and len(b64decode(found["base64"], validate=True)) in _SIGNING_KEY_BYTES
    return False


def _signing_keys(value: SecretStr) -> SecretStr:
    secret = value.get_secret_value()
    if secret and not all(map(_is_signing_key, secret.split(","))):
        raise ValueError("not whsec_ and 24 to 64 bytes in base64, or several of these with commas between")
    return value


def _token_secrets(value: SecretStr) -> SecretStr:
    secret = value.get_secret_value()
    if secret and any(len(one.encode()) < _SECRET_BYTES for one in secret.split(",")):
        raise ValueError(f"shorter than {_SECRET_BYTES} bytes; make one with: openssl rand -base64 48")
    return value


CallbackHosts = Annotated[str, AfterValidator(_callback_hosts)]
CallbackNetworks = Annotated[str, AfterValidator(_callback_networks)]
Address = Annotated[SecretStr, AfterValidator(_address)]
Origins = Annotated[str, AfterValidator(_origins)]
KeySetUrl = Annotated[str, AfterValidator(_key_set_url)]
Rate = Annotated[str, AfterValidator(_rate)]
Proxies = Annotated[str, AfterValidator(_proxies)]
SigningKeys = Annotated[SecretStr, AfterValidator(_signing_keys)]
TokenSecrets = Annotated[SecretStr, AfterValidator(_token_secrets)]
