"""Who sends a request: `Authorization: Bearer` and a token or an API key."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Mapping
from typing import Final

from flask import Request, current_app, g, request

from gateway.auth.api_keys import PREFIX, ApiKeys
from gateway.auth.key_server import KeyServer
from gateway.auth.keys import AllKeys, KeyFile, Keys, shared_secrets
from gateway.auth.principals import Access, Principal, Scope
from gateway.auth.tokens import Tokens
from shared.errors import ConfigurationError, KeysUnavailable, Unauthenticated
from shared.health import Check
from shared.settings import AUTH_NONE, Settings

EXTENSION: Final = "auth"  # Flask's name of the application's authenticator

_HOW: Final = (
    "set JWT_SECRET, JWT_JWKS_URL or JWT_KEYS_FILE for tokens, API_KEYS_FILE for API keys, or say AUTH=none to let "
    "anybody ask (docs/SECURITY.md)"
)
_CREDENTIAL: Final = re.compile(r"bearer +([\x21-\x7e]+)", re.IGNORECASE)

_log = logging.getLogger(__name__)


class Authenticator:
    """Makes callers of requests."""

    def __init__(self, settings: Settings) -> None:
        """Raises ConfigurationError when nothing is set by which anybody could be known."""
        self._open = settings.auth == AUTH_NONE
        self.key_server: KeyServer | None = None
        self._tokens: Tokens | None = None
        self._api_keys: ApiKeys | None = None
        if self._open:
            _log.warning("AUTH=none: whoever reaches this gateway may ask for anything")
            return
        keys = self._sources(settings)
        if keys:
            self._tokens = Tokens(
                AllKeys(keys),
                issuer=settings.jwt_issuer,
                audience=settings.jwt_audience,
                leeway=settings.jwt_leeway_seconds,
                scope_claim=settings.jwt_scope_claim,
                now=time.time,
            )
        if settings.api_keys_file is not None:
            self._api_keys = ApiKeys(settings.api_keys_file)
        if self._tokens is None and self._api_keys is None:
            raise ConfigurationError(f"AUTH: nobody could be known: {_HOW}")

    def _sources(self, settings: Settings) -> list[Keys]:
        keys: list[Keys] = []
        if secret := settings.jwt_secret.get_secret_value():
            keys.append(shared_secrets(secret))
        if settings.jwt_keys_file is not None:
            keys.append(KeyFile(settings.jwt_keys_file))
        if settings.jwt_jwks_url:
            self.key_server = KeyServer(
                settings.jwt_jwks_url,
                refresh_seconds=settings.jwt_keys_seconds,
                stale_seconds=settings.jwt_keys_stale_seconds,
            )
            keys.append(self.key_server)
        return keys

    @property
    def is_required(self) -> bool:
        """Whether callers have to say who they are."""
        return not self._open

    def checks(self) -> dict[str, Check]:
        """How that is which it leans on, by name."""
        return {"keys": self.key_server.check} if self.key_server is not None else {}

    def start(self) -> None:
        """Ask for keys, if they are asked for."""
        if self.key_server is not None:
            self.key_server.start()

    def stop(self) -> None:
        """Ask no more."""
        if self.key_server is not None:
            self.key_server.stop()

    def principal(self, request: Request) -> Principal:
        """The request's sender. Raises Unauthenticated, KeysUnavailable."""
        if self._open:
            return Principal(str(request.remote_addr), frozenset(Scope), known=False)
        header = request.environ.get("HTTP_AUTHORIZATION")
        if header is None:
            raise Unauthenticated("say who you are: Authorization: Bearer and a token or an API key", given=False)
        found = _CREDENTIAL.fullmatch(header)
        if found is None:
            raise Unauthenticated("Authorization is not Bearer and a token or an API key")
        if found[1].startswith(PREFIX):
            if self._api_keys is None:
                raise Unauthenticated("no API keys are taken here")
            return self._api_keys.principal(found[1])
        if self._tokens is None:
            raise Unauthenticated("no tokens are taken here, only API keys")
        return self._tokens.principal(found[1])


def sender() -> Principal | None:
    """Who sends the running request; None when that is not known."""
    found = _found()
    return found if isinstance(found, Principal) else None


def admitted(access: Access, segments: Mapping[str, str]) -> None:
    """Let the running request pass, or raise Unauthenticated, Forbidden, KeysUnavailable. segments: of its path."""
    if access.public:
        return
    found = _found()
    if not isinstance(found, Principal):
        _log.info("refused %s %s from %s: %s", request.method, request.path, request.remote_addr, found)
        raise found
    access.check(found, segments)


def principal() -> Principal:
    """Who sends the running request, which was admitted."""
    found: Principal = g.principal
    return found


def _found() -> Principal | Unauthenticated | KeysUnavailable:
    """Who sends the running request, or why that is not known. It is found out when it first matters: where all are let
    in, nobody's token takes time."""
    if "principal" not in g:
        authenticator: Authenticator = current_app.extensions[EXTENSION]
        try:
            g.principal = authenticator.principal(request)
        except (Unauthenticated, KeysUnavailable) as error:
            g.principal = error
    found: Principal | Unauthenticated | KeysUnavailable = g.principal
    return found
