"""Access and refresh tokens that are forged, altered, expired or of the wrong type are rejected."""

import base64
import json
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from flask import Flask

from shared.infra.db import Conn
from tests.accounts.forged_tokens import changed, claims_of, signed, unsigned
from tests.support.callers import SignedInPlayer, bearer, sign_in


def tampered(player: SignedInPlayer) -> str:
    head, _claims, signature = player.access_token.split(".")
    claims = claims_of(player.access_token) | {"sub": str(uuid4())}
    return f"{head}.{base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b'=').decode()}.{signature}"


ATTACKS: dict[str, Callable[[SignedInPlayer], str]] = {
    "alg none": unsigned,
    "tampered": tampered,
    "wrong key": lambda player: signed(claims_of(player.access_token), key=b"k" * 32),
    "another algorithm": lambda player: signed(claims_of(player.access_token), algorithm="HS512"),
    "refresh as access": lambda player: player.refresh_token,
    "no exp": changed(exp=None),
    "expired": changed(exp=int(time.time()) - 1),
    "not yet valid": changed(nbf=int(time.time()) + 3600),
    "no session": changed(family=None),
    "unknown session": changed(family=str(uuid4())),
    "session is not an id": changed(family="x' OR 1=1 --"),
    "another player": changed(sub=str(uuid4())),
    "no player": changed(sub=None),
    "player is not an id": changed(sub="admin"),
    "empty": lambda _player: "",
    "not a token": lambda _player: "ey.ey.ey",
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_invalid_access_token_is_401(app: Flask, conn: Conn, client: Any, attack: str) -> None:
    ada = sign_in(app, conn)
    assert client.get("/api/organizations", headers=ada.headers).status_code == 200

    response = client.get("/api/organizations", headers=bearer(ATTACKS[attack](ada)))

    assert response.status_code == 401
    assert response.content_type == "application/problem+json"
    assert response.headers["WWW-Authenticate"].startswith('Bearer error="invalid_token", error_description="')


def test_a_token_is_rejected_from_its_expiry_on(app: Flask, conn: Conn, client: Any) -> None:
    ada = sign_in(app, conn)
    expiry = claims_of(ada.access_token)["exp"]
    assert client.get("/api/organizations", headers=ada.headers).status_code == 200

    with time_machine.travel(expiry - 1, tick=False):
        assert client.get("/api/organizations", headers=ada.headers).status_code == 200
    with time_machine.travel(expiry, tick=False):
        assert client.get("/api/organizations", headers=ada.headers).status_code == 401


@pytest.mark.parametrize(
    "attack",
    {
        "access as refresh": lambda player: player.access_token,
        "access changed to refresh, without a generation": changed(type="refresh"),
        "generation is not a number": changed(type="refresh", generation="0 OR 1=1"),
        "wrong key": lambda player: signed(claims_of(player.refresh_token), key=b"k" * 32),
    }.items(),
    ids=lambda attack: attack[0],
)
def test_an_invalid_refresh_token_is_401_and_revokes_nothing(
    app: Flask, conn: Conn, client: Any, attack: tuple[str, Callable[[SignedInPlayer], str]]
) -> None:
    ada = sign_in(app, conn)

    assert client.post("/auth/refresh", headers=bearer(attack[1](ada))).status_code == 401

    assert client.get("/api/organizations", headers=ada.headers).status_code == 200


@pytest.mark.parametrize("header", ["", "Bearer", "Basic YWRhOnB3", "Bearer a b c", "Bearer \xff", "bearer"])
def test_a_malformed_authorization_header_is_401(client: Any, header: str) -> None:
    assert client.get("/api/organizations", headers={"Authorization": header}).status_code == 401


def test_tokens_of_a_deleted_player_are_rejected(app: Flask, conn: Conn, client: Any) -> None:
    ada = sign_in(app, conn)
    conn.execute("DELETE FROM players WHERE id = %s", (ada.id,))

    assert client.get("/api/organizations", headers=ada.headers).status_code == 401
    assert client.post("/auth/refresh", headers=bearer(ada.refresh_token)).status_code == 401
