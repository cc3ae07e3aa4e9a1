"""Signed-in players, staff of every role, and API keys, inserted into PostgreSQL without hashing passwords."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from argon2 import PasswordHasher
from flask import Flask
from flask_jwt_extended import create_access_token, create_refresh_token

from shared.accounts import sessions
from shared.infra.db import Conn
from shared.infra.ids import uuid7
from shared.organizations import api_keys
from shared.organizations.api_keys import SCOPES, ApiKeyInfo, NewApiKey, Scope
from shared.organizations.rules import ROLES
from tests.support.factories import make_org, make_player


@dataclass(frozen=True)
class SignedInPlayer:
    """A player with a session."""

    id: UUID
    session_id: UUID
    access_token: str
    refresh_token: str

    @property
    def headers(self) -> dict[str, str]:
        return bearer(self.access_token)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def sign_in(app: Flask, conn: Conn, username: str | None = None) -> SignedInPlayer:
    """Create a player with a session."""
    player_id, session_id = make_player(conn, username), uuid7()
    sessions.create_session(conn, session_id, player_id, ttl=timedelta(days=1))
    claims: dict[str, Any] = {"family": str(session_id)}
    with app.app_context():
        access = create_access_token(str(player_id), additional_claims=claims)
        refresh = create_refresh_token(str(player_id), additional_claims=claims | {"generation": 0})
    return SignedInPlayer(player_id, session_id, access, refresh)


def give_password(conn: Conn, player_id: UUID, password: str, email: str | None = None) -> None:
    """Turn a guest into an account, with a cheap hash."""
    hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    conn.execute(
        "INSERT INTO credentials (player_id, password_hash, email) VALUES (%s, %s, %s)",
        (player_id, hasher.hash(password), email),
    )


@dataclass(frozen=True)
class Staff:
    """An organization with one member of each role, and a player who is not a member."""

    org_id: UUID
    owner: SignedInPlayer
    admin: SignedInPlayer
    analyst: SignedInPlayer
    member: SignedInPlayer
    stranger: SignedInPlayer

    @property
    def path(self) -> str:
        return f"/api/organizations/{self.org_id}"

    @property
    def codes(self) -> str:
        return f"{self.path}/qr-codes"

    def __getitem__(self, role: str) -> SignedInPlayer:
        player: SignedInPlayer = getattr(self, role)
        return player


def make_staff(app: Flask, conn: Conn) -> Staff:
    org_id = make_org(conn)
    players = {role: sign_in(app, conn) for role in (*ROLES, "stranger")}
    for role in ROLES:
        add_member(conn, org_id, players[role].id, role)
    return Staff(org_id, **players)


def add_member(conn: Conn, org_id: UUID, player_id: UUID, role: str) -> None:
    conn.execute("INSERT INTO memberships (org_id, player_id, role) VALUES (%s, %s, %s)", (org_id, player_id, role))


@dataclass(frozen=True)
class ApiKeyCaller:
    """An API key, with its text."""

    id: UUID
    stored: ApiKeyInfo
    text: str

    @property
    def headers(self) -> dict[str, str]:
        return bearer(self.text)


def make_key(conn: Conn, org_id: UUID, *scopes: Scope) -> ApiKeyCaller:
    """Create a key of the organization with these scopes, or with all."""
    new_key = NewApiKey.new()
    stored = api_keys.add(conn, org_id, new_key, name="Kiosk", scopes=list(scopes or SCOPES))
    return ApiKeyCaller(stored.id, stored, new_key.text)
