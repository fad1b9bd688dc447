"""API keys: for services without an issuer of tokens. A file holds their hashes, and what each may do."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from gateway.auth.principals import Principal, Scope
from gateway.auth.watched_file import WatchedFile
from shared.errors import Unauthenticated

PREFIX: Final = "rk_"
_NAME: Final = r"[a-z0-9][a-z0-9-]{0,62}"
_KEY: Final = re.compile(rf"{PREFIX}(?P<name>{_NAME})_[A-Za-z0-9_-]{{43}}")
_SECRET_BYTES: Final = 32


class ApiKey(BaseModel):
    """What is known of a key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=f"^{_NAME}$")]  # of the service
    # SHA-256 of the key, in hexadecimal. No slow hash: a key is 256 random bits, which nobody guesses, not a password.
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    scopes: tuple[Scope, ...] = Field(min_length=1)
    expires: AwareDatetime | None = None


class ApiKeyFile(BaseModel):
    """What the file holds. A service may have two keys while one takes the other's place."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keys: tuple[ApiKey, ...] = ()

    @classmethod
    def read(cls, raw: bytes) -> ApiKeyFile:
        """Raises ValueError, which shows nothing of the content but the place that is wrong."""
        try:
            return cls.model_validate_json(raw)
        except ValidationError as error:
            wrong = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False)[:5]]
            raise ValueError("; ".join(wrong)) from None

    def with_key(self, key: ApiKey) -> ApiKeyFile:
        """The same and one more."""
        return ApiKeyFile(keys=(*self.keys, key))


def make_key(name: str, scopes: Iterable[Scope], expires: datetime | None) -> tuple[str, ApiKey]:
    """A new key, and what is to be known of it. Raises ValidationError for a name that is none."""
    key = f"{PREFIX}{name}_{secrets.token_urlsafe(_SECRET_BYTES)}"
    return key, ApiKey(name=name, sha256=_hashed(key), scopes=tuple(scopes), expires=expires)


class ApiKeys:
    """The keys in the file, which may change at any time."""

    def __init__(self, path: Path) -> None:
        """Raises ConfigurationError."""
        self._file = WatchedFile("API_KEYS_FILE", path, _by_hash)

    def principal(self, key: str) -> Principal:
        """The service whose key it is. Raises Unauthenticated."""
        known = self._file.content().get(_hashed(key)) if _KEY.fullmatch(key) else None
        if known is None:
            raise Unauthenticated("there is no such API key")
        entry, principal = known
        if entry.expires is not None and entry.expires <= datetime.now(UTC):
            raise Unauthenticated("the API key has expired")
        return principal


def _by_hash(raw: bytes) -> dict[str, tuple[ApiKey, Principal]]:
    return {key.sha256: (key, Principal(f"key:{key.name}", frozenset(key.scopes))) for key in ApiKeyFile.read(raw).keys}


def _hashed(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
