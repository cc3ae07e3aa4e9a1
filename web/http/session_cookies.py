"""The session cookie of a browser: a signed token of the type `session`, bound to a row of the sessions.

One cookie without a refresh token: two tabs that refresh at once would end the session (docs/decisions/0052).
"""

import time
from datetime import timedelta
from uuid import UUID

import jwt
from flask import Response, request

from shared.errors import Unauthenticated
from shared.infra.keys import key_for
from web.http.credentials import ALGORITHM, COOKIE, SECURE_COOKIE, Caller, session_cookie, verified_caller
from web.http.settings import current_settings


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
    return expires


def session_caller() -> Caller | None:
    """Return the player of a valid session cookie. None without one. The session may have ended."""
    try:
        return verified_caller("access") if session_cookie() is not None else None
    except Unauthenticated:
        return None


def clear_session_cookie(response: Response) -> None:
    """Remove the cookie, under both names."""
    for name in (COOKIE, SECURE_COOKIE):
        response.delete_cookie(name, path="/", secure=request.is_secure, httponly=True, samesite="Lax")


def _name() -> str:
    return SECURE_COOKIE if request.is_secure else COOKIE
