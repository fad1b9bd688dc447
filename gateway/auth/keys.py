"""The keys that tokens are signed with. Each is bound to one algorithm, whatever a token says of itself."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt import PyJWK
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.exceptions import PyJWTError

from gateway.auth.watched_file import WatchedFile

SHARED: Final = "HS256"
PUBLIC: Final = frozenset({"RS256", "ES256", "EdDSA"})
_MOST_KEYS: Final = 100  # of one source
_PEM: Final = re.compile(rb"-----BEGIN [A-Z ]+-----.+?-----END [A-Z ]+-----", re.DOTALL)


class Keys(Protocol):
    """Where keys are found."""

    def find(self, algorithm: str, kid: str | None) -> Sequence[PyJWK]:
        """The keys of this algorithm that may have signed a token, whose header names the key `kid`, or none.

        Raises KeysUnavailable when that cannot be said now.
        """


class FixedKeys:
    """Keys that never change."""

    def __init__(self, keys: Iterable[PyJWK]) -> None:
        self._keys = tuple(keys)

    def find(self, algorithm: str, kid: str | None) -> Sequence[PyJWK]:
        """See Keys."""
        return fitting(self._keys, algorithm, kid)


class KeyFile:
    """Public keys in a file: in PEM, one or several, or as a JSON Web Key Set."""

    def __init__(self, path: Path) -> None:
        """Raises ConfigurationError."""
        self._file = WatchedFile("JWT_KEYS_FILE", path, read_keys)

    def find(self, algorithm: str, kid: str | None) -> Sequence[PyJWK]:
        """See Keys."""
        return fitting(self._file.content(), algorithm, kid)


class AllKeys:
    """The keys of several sources."""

    def __init__(self, sources: Sequence[Keys]) -> None:
        self._sources = sources

    def find(self, algorithm: str, kid: str | None) -> Sequence[PyJWK]:
        """See Keys. The first source that has any answers."""
        return next((found for source in self._sources if (found := source.find(algorithm, kid))), ())


def fitting(keys: Iterable[PyJWK], algorithm: str, kid: str | None) -> Sequence[PyJWK]:
    """Those of the keys that may have signed a token of this algorithm and key id: where one of the two has no id, any
    may have."""
    return [
        key
        for key in keys
        if key.algorithm_name == algorithm and (kid is None or key.key_id is None or key.key_id == kid)
    ]


def shared_secrets(secrets: str) -> FixedKeys:
    """Keys of HS256 from secrets that are separated by commas."""
    encoded = (base64.urlsafe_b64encode(secret.encode()).decode().rstrip("=") for secret in secrets.split(","))
    return FixedKeys(PyJWK({"kty": "oct", "k": key, "alg": SHARED}) for key in encoded)


def read_keys(raw: bytes) -> Sequence[PyJWK]:
    """Public keys in PEM, or as `key_set` reads them. Raises ValueError when there are none."""
    if b"PRIVATE KEY-----" in raw:
        raise ValueError("it holds a private key, which is only its owner's business; give the public one")
    if b"-----BEGIN" not in raw:
        return key_set(raw)
    found = [_from_pem(pem) for pem in _PEM.findall(raw)[:_MOST_KEYS]]
    if not found:
        raise ValueError("it holds no public key in PEM")
    return found


def key_set(raw: bytes) -> Sequence[PyJWK]:
    """The public keys of a JSON Web Key Set (RFC 7517) that are of use here; others are passed over: secrets, keys for
    encryption, other algorithms, and those that are too short.

    Raises ValueError when there is no such key.
    """
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        raise ValueError("it is neither PEM nor JSON") from None
    members = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(members, list):
        raise ValueError(  # noqa: TRY004 - of a file's content
            "it is no JSON Web Key Set: an object with a list of `keys`"
        )
    found = [key for member in members[:_MOST_KEYS] if (key := _usable(member)) is not None]
    if not found:
        raise ValueError(f"it holds no public key for {', '.join(sorted(PUBLIC))}")
    return found


def _usable(member: Any) -> PyJWK | None:
    if not isinstance(member, dict) or member.get("use") == "enc" or "d" in member:
        return None
    if not isinstance(member.get("kid", ""), str):
        return None
    try:
        key = PyJWK(member)
        too_short = key.Algorithm.check_key_length(key.key)
    except (PyJWTError, ValueError, TypeError, KeyError):
        return None
    return key if key.algorithm_name in PUBLIC and not too_short else None


def _from_pem(pem: bytes) -> PyJWK:
    try:
        public = load_pem_public_key(pem)
    except Exception:  # what the library raises depends on the kind of nonsense
        raise ValueError("it holds something in PEM that is no public key") from None
    if isinstance(public, RSAPublicKey):
        member = RSAAlgorithm.to_jwk(public, as_dict=True)
    elif isinstance(public, EllipticCurvePublicKey):
        member = ECAlgorithm.to_jwk(public, as_dict=True)
    elif isinstance(public, Ed25519PublicKey):
        member = OKPAlgorithm.to_jwk(public, as_dict=True)
    else:
        member = {}
    if (key := _usable(member)) is None:
        raise ValueError("it holds a key that is too short, or for none of " + ", ".join(sorted(PUBLIC)))
    return key
