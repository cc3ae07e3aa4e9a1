"""Accounts over HTTP: register, begin as a guest and stay, log in, refresh, log out.

Both tokens name their refresh family, a row in PostgreSQL: revoking it ends them at once. A refresh token also carries
its generation, and is good once.
"""

import re
from contextlib import suppress
from datetime import timedelta
from functools import partial
from hashlib import sha256
from typing import Annotated, Any, Literal
from uuid import UUID

from flask_jwt_extended import create_access_token, create_refresh_token
from flask_openapi import APIBlueprint, Tag
from pydantic import AfterValidator, StringConstraints
from pydantic.json_schema import WithJsonSchema

from shared.accounts import passwords, store
from shared.accounts.rules import EMAIL, PASSWORD_CHARACTERS, is_email
from shared.accounts.store import Account, Credentials
from shared.errors import AlreadyRegistered, FieldError, Invalid, PasswordHashingBusy, Unauthenticated
from shared.infra import db
from shared.infra.idempotency import registration_owner
from shared.infra.ids import uuid7
from shared.infra.pubsub_messages import publish_access_change
from web.http.audit_log import record
from web.http.auth import current_caller, public, requires_login, requires_refresh_token
from web.http.idempotency import HEADER, documents_idempotency_key, idempotency_key, run_once, transaction
from web.http.request_context import max_body_bytes, serialize_requests
from web.http.schemas import Body, Id, ResponseModel, Username
from web.http.settings import current_settings

api = APIBlueprint("accounts", __name__, abp_tags=[Tag(name="Accounts")])

GUEST_NAMESPACE = UUID("0d4c3c2e-64f5-4b0e-8f53-6f2f5c0a9d11")
"""The owner of all keys that guests begin with. See docs/decisions/0023."""


MAX_BODY_BYTES = 16 * 1024
"""A name, a password and an address, however they are escaped. Anybody may have these bodies read, a log-in's before
its budget is known."""

UUID4_SCHEMA = {
    "type": "string",
    "pattern": "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-4[0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}$",
}
"""Version 4 (RFC 9562, 5.4): 122 random bits."""
documents_uuid_key = partial(documents_idempotency_key, form=UUID4_SCHEMA)


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


class SessionResponse(ResponseModel):
    """A login: whose, and its pair of tokens. `expires_in` is the access token's, in seconds."""

    player_id: Id
    username: str
    access_token: str
    refresh_token: str
    token_type: Literal["Bearer"]
    expires_in: int


@api.post("/auth/register", responses={201: SessionResponse, 409: None})
@public
@documents_idempotency_key
@max_body_bytes(MAX_BODY_BYTES)
@serialize_requests
def register(body: RegisterBody) -> tuple[dict[str, Any], int]:
    """Register a player, and log in. A retry under its Idempotency-Key finds the player there, and logs in."""
    player_id, family_id = uuid7(), uuid7()
    password_hash = passwords.hash_password(body.password)

    def add() -> tuple[dict[str, Any], int]:
        with transaction() as conn:
            store.add_player(conn, player_id, body.username, password_hash, body.email)
            store.create_session(conn, family_id, player_id, lasts=_session_length())
            record(conn, "account.created", object_id=player_id, player_id=player_id)
        return {"player_id": str(player_id)}, 201

    first = run_once(registration_owner(body.username), add)
    if first.get_json()["player_id"] != str(player_id):
        return _log_in(body.username, body.password), 201
    return _session_response(player_id, body.username, family_id, generation=0), 201


@api.post("/auth/guest", responses={201: SessionResponse, 409: None})
@public
@documents_uuid_key
def create_guest() -> tuple[dict[str, Any], int]:
    """Begin at once, under a name that is made up, without a password. A retry under its Idempotency-Key, which has to
    be a random UUID here, logs the same guest in again, for as long as they are one."""
    player_id, family_id = uuid7(), uuid7()

    def add() -> tuple[dict[str, Any], int]:
        with transaction() as conn:
            store.add_guest(conn, player_id)
            record(conn, "account.created", object_id=player_id, new={"guest": True}, player_id=player_id)
        return {"player_id": str(player_id)}, 201

    guest_id = UUID(run_once(GUEST_NAMESPACE, add, _hashed_key()).get_json()["player_id"])
    with db.transaction() as conn:
        account = store.lock_account(conn, guest_id)
        if account is None or not account.is_guest:
            raise AlreadyRegistered
        store.create_session(conn, family_id, guest_id, lasts=_session_length())
    return _session_response(guest_id, account.username, family_id, generation=0), 201


@api.post("/auth/upgrade", responses={200: SessionResponse, 403: None, 409: None})
@requires_login
@max_body_bytes(MAX_BODY_BYTES)
@serialize_requests
def upgrade(body: RegisterBody) -> dict[str, Any]:
    """Turn a guest into an account: the same player, with all that is theirs. This login goes on with a new pair of
    tokens; the guest's others end."""
    player_id, family_id = current_caller().login
    with db.connection() as conn:
        _check_guest(store.get_account(conn, player_id))
    password_hash = passwords.hash_password(body.password)
    with db.transaction() as conn:
        _check_guest(store.lock_account(conn, player_id))
        store.upgrade(conn, player_id, body.username, password_hash, body.email)
        store.revoke_sessions(conn, player_id, "password", but=family_id)
        generation = store.rotate_for_upgrade(conn, family_id, lasts=_session_length())
        if generation is None:
            raise Unauthenticated
        record(conn, "account.upgraded", object_id=player_id)
    publish_access_change(player_id)
    return _session_response(player_id, body.username, family_id, generation)


@api.post("/auth/login", responses={200: SessionResponse, 401: None})
@public
@max_body_bytes(MAX_BODY_BYTES)
@serialize_requests
def log_in(body: LoginBody) -> dict[str, Any]:
    """Log in: a new refresh family. 401 in the same time whether or not the name exists."""
    return _log_in(body.username, body.password)


@api.post("/auth/refresh", responses={200: SessionResponse})
@requires_refresh_token
def refresh() -> dict[str, Any]:
    """A new pair for a refresh token, once. One that was used before ends the whole login: somebody copied it."""
    player_id, family_id = current_caller().login
    generation = current_caller().generation
    if not isinstance(generation, int):
        raise Unauthenticated
    with db.transaction() as conn:
        rotated = store.rotate_refresh_token(conn, family_id, player_id, generation, lasts=_session_length())
        if rotated is None and store.revoke_session(conn, family_id, "reuse"):
            record(conn, "session.revoked", object_id=family_id, new={"reason": "reuse"})
    if rotated is None:
        publish_access_change(player_id)
        raise Unauthenticated
    return _session_response(player_id, rotated.username, family_id, rotated.generation)


@api.post("/auth/logout", responses={204: None})
@requires_login
def log_out() -> tuple[str, int]:
    """End this login: from the answer on, none of its tokens is good. Its sockets are closed."""
    player_id, family_id = current_caller().login
    with db.connection() as conn:
        store.revoke_session(conn, family_id, "logout")
    publish_access_change(player_id)
    return "", 204


def _log_in(username: str, password: str) -> dict[str, Any]:
    with db.connection() as conn:
        found = store.find_credentials(conn, username)
    # No connection is held while hashing: the pool is smaller than the queue of people may be.
    if not passwords.verify_password(password, found.password_hash if found else None) or found is None:
        raise Unauthenticated("The username or the password is wrong.")
    family_id, length = uuid7(), _session_length()
    with db.connection() as conn:
        begun = store.create_session_if_password(conn, family_id, found.player_id, found.password_hash, lasts=length)
    if not begun:  # the password was changed a moment ago, or its hash renewed: checked against what is stored now
        return _log_in(username, password)
    if passwords.needs_rehash(found.password_hash):
        _renew_hash(found, password)
    return _session_response(found.player_id, found.username, family_id, generation=0)


def _renew_hash(found: Credentials, password: str) -> None:
    """With today's parameters. Not now if others wait; there will be another login."""
    with suppress(PasswordHashingBusy):
        renewed = passwords.hash_password(password)
        with db.connection() as conn:
            store.replace_password_hash(conn, found.player_id, old=found.password_hash, new=renewed)


def _check_guest(found: Account | None) -> None:
    if found is None:
        raise Unauthenticated
    if not found.is_guest:
        raise AlreadyRegistered


def _hashed_key() -> str | None:
    """What the request's Idempotency-Key is stored as, if there is one. It opens the guest's login again, so it must be
    one that nobody guesses, and is not kept. Raises Invalid."""
    key = idempotency_key()
    if key is None:
        return None
    if not re.fullmatch(UUID4_SCHEMA["pattern"], key):
        raise Invalid(
            FieldError(f"header.{HEADER}", "must be a random UUID (version 4) here: it opens the guest's login")
        )
    return sha256(key.lower().encode()).hexdigest()


def _session_response(player_id: UUID, username: str, family_id: UUID, generation: int) -> dict[str, Any]:
    claims = {"family": str(family_id)}
    return SessionResponse(
        player_id=player_id,
        username=username,
        access_token=create_access_token(str(player_id), additional_claims=claims),
        refresh_token=create_refresh_token(str(player_id), additional_claims=claims | {"generation": generation}),
        token_type="Bearer",  # noqa: S106 - the scheme's name
        expires_in=current_settings().access_token_minutes * 60,
    ).model_dump(mode="json")


def _session_length() -> timedelta:
    """How long a login lasts after it was last refreshed: as long as its refresh token."""
    return timedelta(days=current_settings().refresh_token_days)
