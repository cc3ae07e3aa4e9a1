"""Forged and altered tokens."""

import base64
import json
from collections.abc import Callable
from typing import Any

import jwt

from shared.infra.keys import key_for
from shared.settings import settings
from tests.support.callers import SignedInPlayer


def claims_of(token: str) -> dict[str, Any]:
    return dict(jwt.decode(token, options={"verify_signature": False}))


def signed(claims: dict[str, Any], *, key: bytes | None = None, algorithm: str = "HS256") -> str:
    return jwt.encode(claims, key or key_for("session tokens", settings()), algorithm=algorithm)


def changed(**changes: Any) -> Callable[[SignedInPlayer], str]:
    """Return a forger: the player's access token with other claims, correctly signed. None removes a claim."""

    def forge(player: SignedInPlayer) -> str:
        claims = claims_of(player.access_token) | changes
        return signed({name: value for name, value in claims.items() if value is not None})

    return forge


def unsigned(player: SignedInPlayer) -> str:
    head = base64.urlsafe_b64encode(json.dumps({"alg": "none", "typ": "JWT"}).encode()).rstrip(b"=").decode()
    return f"{head}.{player.access_token.split('.')[1]}."
