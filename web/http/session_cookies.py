"""The session cookie of a browser: a signed token of the type `session`, bound to a row of the sessions.

One cookie without a refresh token: two tabs that refresh at once would end the session (docs/decisions/0049).
"""

import time
from datetime import timedelta
from uuid import UUID

import jwt
from flask import Response, request

from shared.accounts import sessions
from shared.errors import Unauthenticated
from shared.infra import db
from shared.infra.keys import key_for
from web.http.credentials import (
    ALGORITHM,
    COOKIE,
    SECURE_COOKIE,
    Caller,
    session_cookie,
    token_expiry,
    verified_caller,
)
from web.http.settings import current_settings

PLAYER_COOKIE = "waymark_player"
RENEW_AFTER = timedelta(days=1)


def set_session_cookie(response: Response, player_id: UUID, session_id: UUID) -> int:
    """Set the cookie of a session. Return when it expires, in seconds since 1970."""
    lifetime = timedelta(days=current_settings().refresh_token_days)
    expires = int(time.time() + lifetime.total_seconds())
    claims = {"type": "session", "sub": str(player_id), "family": str(session_id), "exp": expires}
    response.set_cookie(
        _name(),
        jwt.encode(claims, key_for("session tokens", current_settings()), ALGORITHM),
        max_age=lifetime,
        path="/",
        secure=request.is_secure,
        httponly=True,
        samesite="Lax",  # some browsers treat a link that the camera opens as coming from another site
    )
    # Proves nothing. Scripts read it, also offline, to know whose scans they store.
    response.set_cookie(
        PLAYER_COOKIE, str(player_id), max_age=lifetime, path="/", secure=request.is_secure, samesite="Lax"
    )
    return expires


def renew_session_cookie(response: Response, caller: Caller) -> None:
    """Extend the session and its cookie if a day or more of their lifetime has passed. Called for views of pages.

    So a session ends after REFRESH_TOKEN_DAYS without a visit, and a visit stores nothing on most days.
    """
    cookie = session_cookie()
    if cookie is None:
        return
    player_id, session_id = caller.session
    lifetime = timedelta(days=current_settings().refresh_token_days)
    if token_expiry(cookie) - time.time() > (lifetime - RENEW_AFTER).total_seconds():
        return
    with db.connection() as conn:
        sessions.extend_session(conn, session_id, ttl=lifetime)
    set_session_cookie(response, player_id, session_id)


def session_caller() -> Caller | None:
    """Return the player of a valid session cookie. None without one. The session may have ended."""
    try:
        return verified_caller("access") if session_cookie() is not None else None
    except Unauthenticated:
        return None


def clear_session_cookie(response: Response) -> None:
    """Remove the cookie, under both names, and the player's id beside it."""
    for name in (COOKIE, SECURE_COOKIE):
        response.delete_cookie(name, path="/", secure=request.is_secure, httponly=True, samesite="Lax")
    response.delete_cookie(PLAYER_COOKIE, path="/", secure=request.is_secure, samesite="Lax")


def _name() -> str:
    return SECURE_COOKIE if request.is_secure else COOKIE
