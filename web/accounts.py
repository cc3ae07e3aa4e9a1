"""Accounts over HTTP: register, log in, refresh, log out.

Both tokens name their refresh family, a row in PostgreSQL: revoking it ends them at once. A refresh token also carries
its generation, and is good once.
"""

from datetime import timedelta
from typing import Annotated, Any, Literal
from uuid import UUID, uuid5

from flask_jwt_extended import create_access_token, create_refresh_token
from flask_openapi import APIBlueprint, Tag
from pydantic import AfterValidator, StringConstraints
from pydantic.json_schema import WithJsonSchema

from shared import db
from shared.accounts import passwords, store
from shared.accounts.rules import EMAIL, PASSWORD_CHARACTERS, is_email
from shared.errors import Unauthenticated
from shared.ids import uuid7
from shared.settings import settings
from web.auth import caller, public, refreshing, signed_in
from web.fields import Answer, Body, Id, Username
from web.idempotency import answer_once, takes_key, transaction

api = APIBlueprint("accounts", __name__, abp_tags=[Tag(name="Accounts")])

REGISTRATIONS = UUID("6f0c2f5e-7a53-4b0b-9d0e-1c6f6f0f2a51")
"""Namespace of the owners of Idempotency-Keys where nobody is signed in yet: one owner per name to be registered."""


def _email(text: str) -> str:
    if not is_email(text):
        raise ValueError("must be an e-mail address")
    return text


Password = Annotated[str, StringConstraints(min_length=PASSWORD_CHARACTERS[0], max_length=PASSWORD_CHARACTERS[1])]
Email = Annotated[str, AfterValidator(_email), WithJsonSchema({"type": "string", "pattern": EMAIL})]


class RegisterBody(Body):
    """A name and a password; the address is for the person's own use and never shown."""

    username: Username
    password: Password
    email: Email | None = None


class LoginBody(Body):
    """What was registered. Nothing more is said of its form, so that a wrong guess is a 401 like any other."""

    username: Annotated[str, StringConstraints(max_length=256)]
    password: Annotated[str, StringConstraints(max_length=PASSWORD_CHARACTERS[1])]


class SessionAnswer(Answer):
    """A login: whose, and its pair of tokens. `expires_in` is the access token's, in seconds."""

    player_id: Id
    username: str
    access_token: str
    refresh_token: str
    token_type: Literal["Bearer"]
    expires_in: int


@api.post("/auth/register", responses={201: SessionAnswer, 409: None})
@public
@takes_key
def register(body: RegisterBody) -> tuple[dict[str, Any], int]:
    """Register a player, and log in. A retry under its Idempotency-Key finds the player there, and logs in."""
    player_id, family_id = uuid7(), uuid7()
    password_hash = passwords.hash_password(body.password)

    def add() -> tuple[dict[str, Any], int]:
        with transaction() as conn:
            store.add_player(conn, player_id, body.username, password_hash, body.email)
            store.start_family(conn, family_id, player_id, lasts=_session_length())
        return {"player_id": str(player_id)}, 201

    first = answer_once(uuid5(REGISTRATIONS, body.username.lower()), add)
    if first.get_json()["player_id"] != str(player_id):
        return _log_in(body.username, body.password), 201
    return _session(player_id, body.username, family_id, generation=0), 201


@api.post("/auth/login", responses={200: SessionAnswer, 401: None})
@public
def log_in(body: LoginBody) -> dict[str, Any]:
    """Log in: a new refresh family. 401 in the same time whether or not the name exists."""
    return _log_in(body.username, body.password)


@api.post("/auth/refresh", responses={200: SessionAnswer})
@refreshing
def refresh() -> dict[str, Any]:
    """A new pair for a refresh token, once. One that was used before ends the whole login: somebody copied it."""
    player_id, family_id = caller().login
    generation = caller().generation
    if not isinstance(generation, int):
        raise Unauthenticated
    with db.connection() as conn:
        rotated = store.rotate(conn, family_id, player_id, generation, lasts=_session_length())
        if rotated is None:
            store.revoke_family(conn, family_id, "reuse")
    if rotated is None:
        raise Unauthenticated
    return _session(player_id, rotated.username, family_id, rotated.generation)


@api.post("/auth/logout", responses={204: None})
@signed_in
def log_out() -> tuple[str, int]:
    """End this login: from the answer on, none of its tokens is good."""
    _, family_id = caller().login
    with db.connection() as conn:
        store.revoke_family(conn, family_id, "logout")
    return "", 204


def _log_in(username: str, password: str) -> dict[str, Any]:
    with db.connection() as conn:
        found = store.find_credentials(conn, username)
    # No connection is held while hashing: the pool is smaller than the queue of people may be.
    if not passwords.is_password(password, found.password_hash if found else None) or found is None:
        raise Unauthenticated("The username or the password is wrong.")
    renewed = passwords.hash_password(password) if passwords.is_outdated(found.password_hash) else None
    family_id = uuid7()
    with db.transaction() as conn:
        if renewed is not None:
            store.replace_hash(conn, found.player_id, old=found.password_hash, new=renewed)
        store.start_family(conn, family_id, found.player_id, lasts=_session_length())
    return _session(found.player_id, found.username, family_id, generation=0)


def _session(player_id: UUID, username: str, family_id: UUID, generation: int) -> dict[str, Any]:
    claims = {"family": str(family_id)}
    return SessionAnswer(
        player_id=player_id,
        username=username,
        access_token=create_access_token(str(player_id), additional_claims=claims),
        refresh_token=create_refresh_token(str(player_id), additional_claims=claims | {"generation": generation}),
        token_type="Bearer",  # noqa: S106 - the scheme's name
        expires_in=settings().access_token_minutes * 60,
    ).model_dump(mode="json")


def _session_length() -> timedelta:
    """How long a login lasts after it was last refreshed: as long as its refresh token."""
    return timedelta(days=settings().refresh_token_days)
