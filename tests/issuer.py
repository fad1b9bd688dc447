"""An issuer of tokens: its keys, its tokens, and the address where its public keys are."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

ISSUER = "https://login.example.com"
AUDIENCE = "recommendations"
DAY = 86_400  # s; tables of tokens are made long before their tests run
SECRET = "a secret that the issuer and the gateway share"
KINDS = {"RS256": RSAAlgorithm, "ES256": ECAlgorithm, "EdDSA": OKPAlgorithm}


class SigningKey:
    """A pair of keys. kid: what tokens and the key set call it; None: nothing."""

    def __init__(self, algorithm: str = "RS256", kid: str | None = "one", *, bits: int = 2048) -> None:
        self.algorithm, self.kid, self._bits = algorithm, kid, bits

    @cached_property
    def private(self) -> Any:
        """The key itself."""
        if self.algorithm == "RS256":
            return rsa.generate_private_key(65537, self._bits)
        return (
            ec.generate_private_key(ec.SECP256R1())
            if self.algorithm == "ES256"
            else ed25519.Ed25519PrivateKey.generate()
        )

    @cached_property
    def member(self) -> dict[str, Any]:
        """The public key in a JSON Web Key Set."""
        member = KINDS[self.algorithm].to_jwk(self.private.public_key(), as_dict=True)
        return member if self.kid is None else member | {"kid": self.kid}

    @cached_property
    def pem(self) -> bytes:
        """The public key in PEM."""
        pem: bytes = self.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return pem

    def token(self, headers: Mapping[str, Any] | None = None, **changes: Any) -> str:
        """A token, signed. changes: claims; None leaves one out."""
        named = {} if self.kid is None else {"kid": self.kid}
        return jwt.encode(
            claims(**changes), self.private, algorithm=self.algorithm, headers=named | dict(headers or {})
        )


def key_set(keys: Sequence[SigningKey]) -> dict[str, Any]:
    """A JSON Web Key Set."""
    return {"keys": [key.member for key in keys]}


def claims(**changes: Any) -> dict[str, Any]:
    """What a good token says, with some of it changed, or left out by None."""
    now = int(time.time())
    good = {"iss": ISSUER, "aud": AUDIENCE, "sub": "newsletter", "iat": now, "nbf": now, "exp": now + DAY}
    return {name: value for name, value in (good | changes).items() if value is not None}


def secret_token(secret: str = SECRET, headers: Mapping[str, Any] | None = None, **changes: Any) -> str:
    """A token that is signed with a shared secret."""
    return jwt.encode(claims(**changes), secret, algorithm="HS256", headers=dict(headers or {}))


def encoded(part: object) -> str:
    """A part of a token. part: what is to be JSON, or bytes as they are."""
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def bearer(token: str) -> dict[str, str]:
    """The header that shows a token or an API key."""
    return {"Authorization": f"Bearer {token}"}
