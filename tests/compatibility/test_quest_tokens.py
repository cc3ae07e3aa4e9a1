"""Tokens of the quest services' auth service: HS256, a name, a numeric id, an expiry, and nothing else."""

import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest

from shared.infra.db import Conn
from shared.settings import SettingsError, settings
from tests.accounts.external_issuer import SECRET
from tests.conftest import PASSWORD
from tests.support.callers import bearer, sign_in
from web.app import create_app

SETTINGS = {
    "EXTERNAL_AUTH_WITHOUT_ISSUER": "true",
    "EXTERNAL_AUTH_SECRET": SECRET,
    "EXTERNAL_AUTH_SUBJECT_CLAIM": "user_id",
}
NEVER = 9**10


def token(secret: Any = SECRET, algorithm: str = "HS256", **changes: Any) -> str:
    """Return a token as `create_access_token` of the auth service makes it. None removes a claim."""
    claims: dict[str, Any] = {"sub": "ada", "user_id": 3, "exp": int(time.time()) + 7200} | changes
    return jwt.encode({name: value for name, value in claims.items() if value is not None}, secret, algorithm)


@pytest.fixture
def older(clean: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of an application that accepts the auth service's tokens."""
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    yield create_app().test_client()
    monkeypatch.undo()
    settings.cache_clear()


def me(client: Any, text: str) -> Any:
    return client.get("/users/me", headers=bearer(text))


def test_older_client_uses_its_token(older: Any) -> None:
    """The 503 of `/track` shows that the caller passed: no quest catalog is running."""
    player_id = me(older, token()).json["id"]
    assert older.post("/api/v1/track/signin", json={"user_id": 3}, headers=bearer(token())).status_code == 503
    scan = {"player_id": player_id, "qr_code": "x"}
    assert older.post("/scan", json=scan, headers=bearer(token())).status_code == 202
    assert me(older, token(exp=NEVER, sub="renamed")).json["id"] == player_id
    assert me(older, token(user_id=4)).json["id"] != player_id


def test_log_out_ends_an_older_token(older: Any) -> None:
    text = token(exp=NEVER)
    assert me(older, text).status_code == 200
    assert older.post("/auth/logout", headers=bearer(text)).status_code == 204
    assert me(older, text).status_code == 401


def test_older_players_are_apart_from_accounts(older: Any, conn: Conn) -> None:
    """Neither a name nor an id in a token leads to an account that exists."""
    account = older.post("/auth/register", json={"username": "ada", "password": PASSWORD}).json["player_id"]

    named = me(older, token(sub="ada")).json
    with_id = me(older, token(user_id=account)).json

    assert account not in (named["id"], with_id["id"])
    assert named["id"] != with_id["id"]
    assert named["username"].startswith("player-")


def test_own_tokens_work_beside_older_ones(older: Any, conn: Conn) -> None:
    ada = sign_in(older.application, conn)
    assert me(older, ada.access_token).json["id"] == str(ada.id)
    assert me(older, ada.refresh_token).status_code == 401
    assert older.post("/auth/refresh", headers=bearer(ada.refresh_token)).status_code == 200


@pytest.mark.parametrize(
    "invalid",
    [
        token(exp=None),
        token(exp=1),
        token(exp="never"),
        token(user_id=None),
        token(user_id=True),
        token(user_id=-1),
        token(user_id=3.5),
        token(user_id=2**63),
        token(user_id=[3]),
        token(user_id=""),
        token(aud="another service"),
        token(iss="https://login.example"),
        token(type="refresh"),
        token(token_use="id"),
        token(token_type="refresh"),
        token(typ="Refresh"),
        token(secret=SECRET[::-1]),
        token(algorithm="HS512"),
        token(family="0197a6b0-0000-7000-8000-000000000003", type="access"),
        token(secret=None, algorithm="none"),
    ],
    # Tokens contain the time, so each process of a parallel run would name the tests differently.
    ids=lambda _: "token",
)
def test_invalid_older_token_is_rejected(older: Any, conn: Conn, invalid: str) -> None:
    assert me(older, invalid).status_code == 401
    assert older.post("/auth/refresh", headers=bearer(invalid)).status_code == 401
    assert conn.execute("SELECT FROM players").rowcount == 0


def test_older_token_does_not_refresh(older: Any) -> None:
    assert older.post("/auth/refresh", headers=bearer(token())).status_code == 401


def test_older_tokens_are_rejected_by_default(client: Any) -> None:
    assert me(client, token()).status_code == 401


@pytest.mark.parametrize(
    ("changed", "setting"),
    [
        ({"EXTERNAL_AUTH_SECRET": "your-secret-key"}, "EXTERNAL_AUTH_SECRET"),
        ({"EXTERNAL_AUTH_SECRET": ""}, "EXTERNAL_AUTH_SECRET"),
        ({"EXTERNAL_AUTH_SUBJECT_CLAIM": None}, "EXTERNAL_AUTH_SUBJECT_CLAIM"),
        ({"EXTERNAL_AUTH_ISSUER": "https://login.example"}, "EXTERNAL_AUTH_WITHOUT_ISSUER"),
        ({"EXTERNAL_AUTH_AUDIENCE": "waymark"}, "EXTERNAL_AUTH_WITHOUT_ISSUER"),
        ({"EXTERNAL_AUTH_ALGORITHMS": "RS256"}, "EXTERNAL_AUTH_ALGORITHMS"),
        ({"EXTERNAL_AUTH_KEYS_FILE": __file__}, "EXTERNAL_AUTH_KEYS_FILE"),
        ({"EXTERNAL_AUTH_WITHOUT_ISSUER": "false"}, "EXTERNAL_AUTH_ISSUER"),
    ],
)
def test_incomplete_settings_end_the_process(
    monkeypatch: pytest.MonkeyPatch, changed: dict[str, str | None], setting: str
) -> None:
    for name, value in (SETTINGS | changed).items():
        monkeypatch.setenv(name, value) if value is not None else monkeypatch.delenv(name, raising=False)
    settings.cache_clear()
    try:
        with pytest.raises(SettingsError, match=setting):
            settings()
    finally:
        monkeypatch.undo()
        settings.cache_clear()
