"""Attacks with tokens of an older auth service, which have neither an issuer nor an audience."""

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch
from uuid import UUID

import jwt

from shared import settings_checks
from shared.accounts import external_tokens
from shared.accounts.external_provisioning import get_or_create_player
from shared.settings import SettingsError, settings
from tests.accounts.external_issuer import SECRET
from tests.security.attack import Attack, Attempt, Scene, replaced
from tests.support.callers import bearer
from web.app import create_app
from web.http import external_auth

SETTINGS = {
    "EXTERNAL_AUTH_WITHOUT_ISSUER": "true",
    "EXTERNAL_AUTH_SECRET": SECRET,
    "EXTERNAL_AUTH_SUBJECT_CLAIM": "user_id",
}


@contextmanager
def accepting(**changes: str) -> Iterator[Any]:
    """Yield a client of an application that accepts older tokens."""
    with patch.dict(os.environ, SETTINGS | changes):
        settings.cache_clear()
        try:
            yield create_app().test_client()
        finally:
            settings.cache_clear()


def token(secret: Any = SECRET, algorithm: str = "HS256", **changes: Any) -> str:
    # A random claim, because verified tokens are cached.
    claims: dict[str, Any] = {"sub": "ada", "user_id": 3, "exp": 9**10, "jti": secrets.token_hex(8)} | changes
    return jwt.encode({name: value for name, value in claims.items() if value is not None}, secret, algorithm)


def presenting(make: Callable[[], str]) -> Attempt:
    """The token is accepted where the operator accepts tokens of the older service."""

    def attempt(_scene: Scene) -> bool:
        with accepting() as client:
            return bool(client.get("/users/me", headers=bearer(make())).status_code == 200)

    return attempt


def where_nobody_configured_it(scene: Scene) -> bool:
    return bool(scene.client.get("/users/me", headers=bearer(token())).status_code == 200)


def with_an_accounts_id(scene: Scene) -> bool:
    """The token names the id of a player who registered with Waymark."""
    victim = scene.victim.owner.id
    with accepting() as client:
        answer = client.get("/users/me", headers=bearer(token(user_id=str(victim))))
        return UUID(answer.json["id"]) == victim


def guessed_secret(_scene: Scene) -> bool:
    """The secret is the default of the older service, which everybody knows."""
    try:
        with accepting(EXTERNAL_AUTH_SECRET="your-secret-key") as client:
            return bool(client.get("/users/me", headers=bearer(token("your-secret-key"))).status_code == 200)
    except SettingsError:
        return False


def unverified(text: str, *_args: Any, **_options: Any) -> dict[str, Any]:
    parsed: dict[str, Any] = DECODE(text, options={"verify_signature": False})
    return {"exp": 9**10} | parsed


DECODE = jwt.decode
ANY_POLICY = external_tokens.IssuerPolicy(None, None, "user_id", ("HS256",))
KEYS = external_tokens.KeySet((external_tokens.SigningKey(None, SECRET.encode(), ("HS256",)),))
UNVERIFIED = replaced(jwt, "decode", unverified)
EVERYWHERE = replaced(external_auth, "issuer", lambda: external_auth.ExternalIssuer(ANY_POLICY, KEYS))


def linking(scene: Scene) -> Any:
    always = lambda conn, identity, *, link_existing, origin: get_or_create_player(  # noqa: E731
        conn, identity, link_existing=True, origin=origin
    )
    return replaced(external_auth, "get_or_create_player", always)(scene)


ATTACKS = [
    Attack("older token where none are configured", where_nobody_configured_it, EVERYWHERE),
    Attack("older token with alg none", presenting(lambda: token(None, "none")), UNVERIFIED),
    Attack("older token with another HMAC algorithm", presenting(lambda: token(algorithm="HS512")), UNVERIFIED),
    Attack("older token without exp", presenting(lambda: token(exp=None)), UNVERIFIED),
    Attack("older token for another audience", presenting(lambda: token(aud="shop")), UNVERIFIED),
    Attack(
        "older refresh token as access token",
        presenting(lambda: token(type="refresh")),
        replaced(external_tokens, "TOKEN_KIND_CLAIMS", ()),
    ),
    Attack("older token with the id of an account", with_an_accounts_id, linking),
    Attack(
        "older tokens with a secret from an example", guessed_secret, replaced(settings_checks, "MIN_SECRET_BYTES", 1)
    ),
]
