"""Tokens that were not issued here, not for this, or not any more."""

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


def tampered(person: SignedInPlayer) -> str:
    head, _claims, signature = person.access_token.split(".")
    claims = claims_of(person.access_token) | {"sub": str(uuid4())}
    return f"{head}.{base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b'=').decode()}.{signature}"


ATTACKS: dict[str, Callable[[SignedInPlayer], str]] = {
    "alg none": unsigned,
    "tampered": tampered,
    "wrong key": lambda person: signed(claims_of(person.access_token), key=b"k" * 32),
    "another algorithm": lambda person: signed(claims_of(person.access_token), algorithm="HS512"),
    "refresh as access": lambda person: person.refresh_token,
    "no exp": changed(exp=None),
    "expired": changed(exp=int(time.time()) - 1),
    "not yet valid": changed(nbf=int(time.time()) + 3600),
    "no family": changed(family=None),
    "a family that never was": changed(family=str(uuid4())),
    "a family that is no id": changed(family="x' OR 1=1 --"),
    "another player": changed(sub=str(uuid4())),
    "no player": changed(sub=None),
    "a player that is no id": changed(sub="admin"),
    "nothing": lambda _person: "",
    "not a token": lambda _person: "ey.ey.ey",
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_bad_access_token_is_refused(app: Flask, conn: Conn, client: Any, attack: str) -> None:
    ada = sign_in(app, conn)
    assert client.get("/api/organizations", headers=ada.headers).status_code == 200

    answer = client.get("/api/organizations", headers=bearer(ATTACKS[attack](ada)))

    assert answer.status_code == 401
    assert answer.content_type == "application/problem+json"
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_a_token_ends_with_its_time(app: Flask, conn: Conn, client: Any) -> None:
    ada = sign_in(app, conn)
    ends = claims_of(ada.access_token)["exp"]
    assert client.get("/api/organizations", headers=ada.headers).status_code == 200

    with time_machine.travel(ends - 1, tick=False):
        assert client.get("/api/organizations", headers=ada.headers).status_code == 200
    with time_machine.travel(ends, tick=False):
        assert client.get("/api/organizations", headers=ada.headers).status_code == 401


@pytest.mark.parametrize(
    "attack",
    {
        "access as refresh": lambda person: person.access_token,
        "access made refresh": changed(type="refresh"),  # without a generation
        "generation is no number": changed(type="refresh", generation="0 OR 1=1"),
        "wrong key": lambda person: signed(claims_of(person.refresh_token), key=b"k" * 32),
    }.items(),
    ids=lambda attack: attack[0],
)
def test_a_bad_refresh_token_is_refused_and_ends_nothing(
    app: Flask, conn: Conn, client: Any, attack: tuple[str, Callable[[SignedInPlayer], str]]
) -> None:
    ada = sign_in(app, conn)

    assert client.post("/auth/refresh", headers=bearer(attack[1](ada))).status_code == 401

    assert client.get("/api/organizations", headers=ada.headers).status_code == 200


@pytest.mark.parametrize("header", ["", "Bearer", "Basic YWRhOnB3", "Bearer a b c", "Bearer \xff", "bearer"])
def test_a_malformed_header_is_refused(client: Any, header: str) -> None:
    assert client.get("/api/organizations", headers={"Authorization": header}).status_code == 401


def test_the_tokens_of_an_erased_player_are_refused(app: Flask, conn: Conn, client: Any) -> None:
    ada = sign_in(app, conn)
    conn.execute("DELETE FROM players WHERE id = %s", (ada.id,))

    assert client.get("/api/organizations", headers=ada.headers).status_code == 401
    assert client.post("/auth/refresh", headers=bearer(ada.refresh_token)).status_code == 401
