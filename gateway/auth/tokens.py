"""JSON Web Tokens (RFC 7519) as callers."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final
from uuid import UUID

import jwt
from cachetools import TTLCache
from jwt.exceptions import (
    DecodeError,
    ExpiredSignatureError,
    ImmatureSignatureError,
    InvalidAlgorithmError,
    InvalidAudienceError,
    InvalidIssuerError,
    InvalidSignatureError,
    MissingRequiredClaimError,
    PyJWTError,
)

from gateway.auth.keys import PUBLIC, SHARED, Keys
from gateway.auth.principals import Principal, Scope
from shared.errors import Unauthenticated

_MOST_CHARACTERS: Final = 4096
_MOST_OF_A_NAME: Final = 255
_REMEMBERED: Final = 4096  # tokens, of a process
_REMEMBERED_SECONDS: Final = 10.0  # for so long a key that was withdrawn may still count
_MOST_KEYS_TRIED: Final = 5  # for a token that names none
_REQUIRED: Final = ("exp", "iss", "aud", "sub")
_REASONS: Final[dict[type[PyJWTError], str]] = {
    ExpiredSignatureError: "the token has expired",
    ImmatureSignatureError: "the token is not valid yet: see its nbf and iat",
    InvalidAudienceError: "the token is for another audience",
    InvalidIssuerError: "the token is another issuer's",
    InvalidSignatureError: "the token's signature is wrong",
    InvalidAlgorithmError: "the token's algorithm is none that is taken here",
    DecodeError: "the token cannot be read",
}


class Tokens:
    """Makes callers of tokens, and remembers them for a moment: a service sends the same one with each request."""

    def __init__(
        self, keys: Keys, *, issuer: str, audience: str, leeway: float, scope_claim: str, now: Callable[[], float]
    ) -> None:
        """leeway: seconds that clocks may differ by. now: seconds since 1970, as remembered tokens go by; PyJWT has
        its own clock."""
        self._keys, self._issuer, self._audience = keys, issuer, audience
        self._leeway, self._scope_claim, self._now = leeway, scope_claim, now
        self._known: TTLCache[bytes, tuple[Principal, float]] = TTLCache(_REMEMBERED, _REMEMBERED_SECONDS)
        self._lock = threading.Lock()

    def principal(self, token: str) -> Principal:
        """The caller that a token names. Raises Unauthenticated, KeysUnavailable."""
        if len(token) > _MOST_CHARACTERS:
            raise Unauthenticated(f"the token has more than {_MOST_CHARACTERS} characters")
        digest = hashlib.blake2b(token.encode("latin-1", "replace"), digest_size=32).digest()
        with self._lock:
            known = self._known.get(digest)
        if known is not None and known[1] > self._now():
            return known[0]
        principal, ends = self._verified(token)
        with self._lock:
            self._known[digest] = principal, ends
        return principal

    def _verified(self, token: str) -> tuple[Principal, float]:
        """The caller, and until when the token is good."""
        try:
            claims = self._claims(token)
            return self._named(claims), float(claims["exp"]) + self._leeway
        except MissingRequiredClaimError as error:
            raise Unauthenticated(f"the token has no {error.claim}") from None
        except PyJWTError as error:
            reason = next(
                (said for kind, said in _REASONS.items() if isinstance(error, kind)), "the token is not valid"
            )
            raise Unauthenticated(reason) from None
        except (ValueError, TypeError, OverflowError, RecursionError):  # claims that are no such thing
            raise Unauthenticated("the token is not valid") from None

    def _claims(self, token: str) -> Mapping[str, Any]:
        """A token's claims, checked. Raises as PyJWT does, and ValueError and the like for nonsense."""
        header = jwt.get_unverified_header(token)
        algorithm = header.get("alg")
        if not isinstance(algorithm, str) or algorithm not in {SHARED, *PUBLIC}:
            raise InvalidAlgorithmError
        if "b64" in header:  # RFC 7797: what is signed is then not what is sent
            raise DecodeError
        keys = self._keys.find(algorithm, header.get("kid"))[:_MOST_KEYS_TRIED]
        if not keys:
            raise Unauthenticated("the token is signed with a key that is not known here")
        for place, key in enumerate(keys, 1):
            try:
                # The key says which algorithm it is for; what the token says was only good to find it.
                return jwt.decode(
                    token,
                    key,
                    algorithms=[key.algorithm_name],
                    audience=self._audience,
                    issuer=self._issuer,
                    leeway=self._leeway,
                    options={"require": list(_REQUIRED), "enforce_minimum_key_length": True},
                )
            except InvalidSignatureError:
                if place == len(keys):
                    raise
        raise AssertionError("one of the keys returned or raised")

    def _named(self, claims: Mapping[str, Any]) -> Principal:
        name = claims["sub"]
        if not name or len(name) > _MOST_OF_A_NAME or not name.isprintable():
            raise Unauthenticated("the token's sub is no name")
        return Principal(f"token:{name}", _scopes(claims.get(self._scope_claim)), _user_id(name))


def _scopes(claim: Any) -> frozenset[Scope]:
    """Those that mean something here. claim: separated by spaces (RFC 8693), or a list, as some issuers have it."""
    given = claim.split() if isinstance(claim, str) else claim if isinstance(claim, list) else []
    return frozenset(scope for scope in Scope if scope in given)


def _user_id(name: str) -> str | None:
    try:
        user_id = str(UUID(name))
    except ValueError:
        return None
    return user_id if user_id == name.lower() else None  # UUID() takes many ways to write one
