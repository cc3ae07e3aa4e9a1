"""The credentials of a request: the caller that its bearer token, API key or session cookie names."""

import re
import time
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal
from uuid import UUID

import jwt
from flask import request

from shared.accounts.external_tokens import ExternalIdentity
from shared.errors import (
    CredentialsExpired,
    CredentialsInvalid,
    CredentialsMalformed,
    CredentialsMissing,
    Forbidden,
    Unauthenticated,
)
from shared.infra.keys import key_for
from shared.organizations.api_keys import ApiKey
from web.http import external_auth
from web.http.settings import current_settings

ALGORITHM = "HS256"
TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""The form of a bearer token (RFC 6750, 2.1)."""
COOKIE, SECURE_COOKIE = "waymark", "__Host-waymark"
"""Names of the session cookie. Browsers accept the second only over TLS."""
TokenKind = Literal["access", "refresh", "session"]
REQUIRED_CLAIMS = ["exp", "type", "sub", "family"]


@dataclass(frozen=True)
class Caller:
    """The sender of the request: a player with a session, or an API key."""

    player_id: UUID | None
    session_id: UUID | None
    generation: int | None = None
    """Generation of the refresh token, if that is what the request carries."""
    key: ApiKey | None = None
    by_cookie: bool = False
    """True if the session cookie of a browser was the credential."""

    @property
    def id(self) -> UUID:
        """Id of the key or the player: the owner of idempotency keys, rate limits and audit log entries."""
        caller_id = self.key.id if self.key else self.player_id
        if caller_id is None:
            raise LookupError("a caller is a player or a key")
        return caller_id

    @property
    def session(self) -> tuple[UUID, UUID]:
        """Ids of the player and the session. Raise Forbidden for an API key."""
        if self.player_id is None or self.session_id is None:
            raise Forbidden
        return self.player_id, self.session_id


def session_cookie() -> str | None:
    """Return the session cookie of the request. None without one, and for requests with an Authorization header.

    The cookie with the prefix wins: only this host can set it, over TLS (RFC 6265bis, 4.1.3.2).
    """
    if "Authorization" in request.headers or not current_settings().pages:
        return None
    return request.cookies.get(SECURE_COOKIE) or request.cookies.get(COOKIE)


def presented_api_key() -> str | None:
    """Return the bearer token of the request if it looks like an API key, else None. Raise Unauthenticated."""
    if session_cookie() is not None:
        return None
    token = bearer_token()
    return token if token.startswith("wm_") else None


def bearer_token() -> str:
    """Return the bearer token of the request. Raise CredentialsMissing or CredentialsMalformed."""
    # The scheme is case-insensitive, and spaces separate it from the token (RFC 9110, 11.1 and 11.4).
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise CredentialsMissing
    if not TOKEN.fullmatch(token.strip(" ")):
        raise CredentialsMalformed
    return token.strip(" ")


def rate_limit_key_of_credentials(*, refresh: bool = False) -> UUID | None:
    """Return the rate-limit key of the presented token: the player (or external identity) of an access token, the
    session of a refresh token. None if the token is invalid.

    Checks signature and expiry, not revocation, which would need a store.
    """
    try:
        if not refresh and (cookie := session_cookie()) is not None:
            return _own_token(cookie, "session").player_id
        token = bearer_token()
        identity = None if refresh else _external_identity(token)
        if identity is not None:
            return identity.id
        caller = _own_token(token, "refresh" if refresh else "access")
    except Unauthenticated:
        return None
    # By session: requests with a stolen refresh token do not count for the player's other sessions.
    return caller.session_id if refresh else caller.player_id


def player_of_expired_token() -> UUID | None:
    """Return the player of an access token whose signature is valid, and which has expired. None for other tokens."""
    try:
        caller, has_expired = _signed_caller(bearer_token(), "access")
    except Unauthenticated:
        return None
    return caller.player_id if has_expired else None


def verified_caller(kind: Literal["access", "refresh"]) -> Caller:
    """Return the caller of a session cookie or a bearer token with a valid signature and expiry. Raise Unauthenticated.

    The session may have ended.
    """
    if kind == "access" and (cookie := session_cookie()) is not None:
        return replace(_own_token(cookie, "session"), by_cookie=True)
    token = bearer_token()
    if kind == "access" and (identity := _external_identity(token)) is not None:
        return Caller(*external_auth.get_or_create_session(identity))
    return _own_token(token, kind)


def token_expiry(token: str) -> int:
    """Return when a token that Waymark signed expires, in seconds since 1970. Raise PyJWTError for another token."""
    return int(_verified(token, key_for("session tokens", current_settings()))["exp"])


def _external_identity(token: str) -> ExternalIdentity | None:
    """Return the identity of an external issuer's token. None for any other token. Raise Unauthenticated."""
    issuer = external_auth.issuer()
    return issuer.verify(token) if issuer is not None else None


def _own_token(token: str, kind: TokenKind) -> Caller:
    """Return the caller of a token that Waymark issued. Raise Unauthenticated."""
    caller, has_expired = _signed_caller(token, kind)
    if has_expired:
        raise CredentialsExpired
    return caller


def _signed_caller(token: str, kind: TokenKind) -> tuple[Caller, bool]:
    """Return the caller of a token that Waymark signed, and whether the token has expired. Raise Unauthenticated."""
    try:
        claims = _verified(token, key_for("session tokens", current_settings()))
        caller = Caller(UUID(claims["sub"]), UUID(claims["family"]), claims.get("generation"))
        has_expired = _has_expired(claims)
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        is_malformed = isinstance(error, jwt.DecodeError) and not isinstance(error, jwt.InvalidSignatureError)
        raise CredentialsMalformed if is_malformed else CredentialsInvalid from None
    if claims["type"] != kind:
        raise CredentialsInvalid(f"This token is not of the type {kind}. Send the {kind} token of the session.")
    return caller, has_expired


# Cached by token: flask-jwt-extended, which issues these tokens, would decode each four times per request. That took a
# tenth of the time to accept a scan.
@lru_cache(maxsize=4_096)
def _verified(token: str, key: bytes) -> dict[str, Any]:
    """Return the claims of a token with a valid signature. Raise PyJWTError.

    The caller checks `exp`, because the result is cached.
    """
    options: Any = {"require": REQUIRED_CLAIMS, "verify_exp": False}
    claims: dict[str, Any] = jwt.decode(token, key, algorithms=[ALGORITHM], options=options)
    return claims


def _has_expired(claims: dict[str, Any]) -> bool:
    return int(claims["exp"]) <= time.time()
