"""Accounts over HTTP: register, create a guest, upgrade a guest, log in, refresh, log out.

Access and refresh tokens name their session, a row in PostgreSQL. Revoking the session ends both at once.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from hashlib import sha256
from typing import Annotated, Any, Literal
from uuid import UUID

from flask import Response, request
from flask_jwt_extended import create_access_token, create_refresh_token
from flask_openapi import APIBlueprint, Tag
from pydantic import AfterValidator, Field, StringConstraints, ValidationInfo, field_validator
from pydantic.json_schema import WithJsonSchema

from shared.accounts import passwords, sessions, store
from shared.accounts.rules import EMAIL, PASSWORD_CHARACTERS, is_email
from shared.accounts.store import Account, Credentials
from shared.errors import (
    AlreadyRegistered,
    CredentialsInvalid,
    CredentialsRevoked,
    FieldError,
    Invalid,
    Unauthenticated,
    Unavailable,
)
from shared.infra import db
from shared.infra.idempotency import registration_owner
from shared.infra.ids import uuid7
from shared.infra.pubsub_messages import publish_access_change
from shared.visits.user_agents import device_kind
from web.http import password_grant
from web.http.audit_log import record
from web.http.auth import current_caller, public, requires_login, requires_refresh_token
from web.http.idempotency import HEADER, documents_idempotency_key, idempotency_key, run_once, transaction
from web.http.request_context import accepts_form, max_body_bytes, serialize_requests
from web.http.schemas import Body, Id, ResponseModel, Username
from web.http.settings import current_settings

api = APIBlueprint("accounts", __name__, abp_tags=[Tag(name="Accounts")])

GUEST_NAMESPACE = UUID("0d4c3c2e-64f5-4b0e-8f53-6f2f5c0a9d11")
"""The owner of all idempotency keys that create guests (docs/decisions/0023)."""
MAX_BODY_BYTES = 16 * 1024
"""Holds a username, a password and an email address in any escaping. Any client can send these bodies, and that of a
log-in is read before its rate limit is known."""
MAX_LOGIN_ATTEMPTS = 3
"""Verifications in one request, each against the hash that is stored at that time."""

UUID4_SCHEMA = {
    "type": "string",
    "pattern": "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-4[0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}$",
}
"""A UUID version 4 (RFC 9562, 5.4): 122 random bits."""
documents_uuid_key = partial(documents_idempotency_key, form=UUID4_SCHEMA)


def _email(text: str) -> str:
    if not is_email(text):
        raise ValueError("Use an email address such as ada@example.com.")
    return text


Password = Annotated[
    str,
    StringConstraints(min_length=PASSWORD_CHARACTERS[0], max_length=PASSWORD_CHARACTERS[1]),
    Field(description="A common password is refused", examples=["correct horse"]),
]
Email = Annotated[str, AfterValidator(_email), WithJsonSchema({"type": "string", "pattern": EMAIL})]


class RegisterBody(Body):
    """Username and password. The email address is optional, and only its player sees it."""

    username: Username
    password: Password
    email: Email | None = None

    @field_validator("password")
    @classmethod
    def _uncommon(cls, password: str, info: ValidationInfo) -> str:
        if passwords.is_too_common(password, info.data.get("username", "")):
            raise ValueError(passwords.TOO_COMMON)
        return password


class LoginBody(Body):
    """Username and password, in any form: a wrong guess is always 401."""

    username: Annotated[str, StringConstraints(max_length=256)]
    password: Annotated[str, StringConstraints(max_length=PASSWORD_CHARACTERS[1])]


@dataclass(frozen=True)
class StartedSession:
    """A new session, or one whose refresh tokens were replaced."""

    player_id: UUID
    username: str
    id: UUID
    generation: int = 0
    is_guest: bool = False


class SessionResponse(ResponseModel):
    """A session: its player and a pair of tokens. `expires_in` is the lifetime of the access token in seconds."""

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
    """Register a player

    Creates an account and a session. 409 if the username is taken, in any letter case. A retry with the same
    Idempotency-Key logs in to the account that the first request created.
    """
    return _session_response(start_registered_session(body)), 201


def start_registered_session(body: RegisterBody) -> StartedSession:
    """Create a player and start a session. Raise UsernameTaken.

    A retry with the same Idempotency-Key logs in to the account that the first request created.
    """
    player_id, session_id = uuid7(), uuid7()
    password_hash = passwords.hash_password(body.password)

    def add() -> tuple[dict[str, Any], int]:
        with transaction() as conn:
            store.add_player(conn, player_id, body.username, password_hash, body.email)
            sessions.create_session(conn, session_id, player_id, ttl=session_ttl(), device=current_device())
            record(conn, "account.created", object_id=player_id, player_id=player_id)
        return {"player_id": str(player_id)}, 201

    first_response = run_once(registration_owner(body.username), add)
    if first_response.get_json()["player_id"] != str(player_id):
        return start_password_session(body.username, body.password)
    return StartedSession(player_id, body.username, session_id)


@api.post("/auth/guest", responses={201: SessionResponse, 409: None})
@public
@documents_uuid_key
def create_guest() -> tuple[dict[str, Any], int]:
    """Create a guest

    Creates a player with a generated username and without a password, and a session. A retry with the same
    Idempotency-Key, which must be a random UUID here, starts another session of the same guest. 409 once the guest
    has an account.
    """
    return _session_response(start_guest_session()), 201


def start_guest_session() -> StartedSession:
    """Create a guest, or find the one of the request's Idempotency-Key, and start a session.

    Raise AlreadyRegistered once the guest has an account.
    """
    player_id, session_id = uuid7(), uuid7()

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
        sessions.create_session(conn, session_id, guest_id, ttl=session_ttl(), device=current_device())
    return StartedSession(guest_id, account.username, session_id, is_guest=True)


@api.post("/auth/upgrade", responses={200: SessionResponse, 403: None, 409: None})
@requires_login
@max_body_bytes(MAX_BODY_BYTES)
@serialize_requests
def upgrade(body: RegisterBody) -> dict[str, Any]:
    """Upgrade a guest to an account

    The player keeps their id, scans, rewards and quests. This session continues with a new pair of tokens. All other
    sessions of the guest are revoked. 409 if the player has an account or the username is taken.
    """
    return _session_response(upgrade_guest(body))


def upgrade_guest(body: RegisterBody) -> StartedSession:
    """Give the calling guest an account, and revoke their other sessions. Raise AlreadyRegistered or UsernameTaken."""
    player_id, session_id = current_caller().session
    with db.connection() as conn:
        _check_guest(store.get_account(conn, player_id))
    password_hash = passwords.hash_password(body.password)
    with db.transaction() as conn:
        _check_guest(store.lock_account(conn, player_id))
        store.upgrade(conn, player_id, body.username, password_hash, body.email)
        sessions.revoke_sessions(conn, player_id, "password", but=session_id)
        generation = sessions.rotate_for_upgrade(conn, session_id, ttl=session_ttl())
        if generation is None:
            raise CredentialsRevoked
        record(conn, "account.upgraded", object_id=player_id)
    publish_access_change(player_id)
    return StartedSession(player_id, body.username, session_id, generation)


@api.post(
    "/auth/login",
    request_body={
        "required": True,
        "content": {
            "application/json": {
                "schema": LoginBody.model_json_schema(),
                "example": {"username": "ada", "password": "correct horse"},
            },
            password_grant.FORM_TYPE: password_grant.FORM,
        },
    },
    responses={200: SessionResponse, 400: None, 401: None},
)
@public
@max_body_bytes(MAX_BODY_BYTES)
@serialize_requests
@accepts_form
def log_in() -> dict[str, Any] | Response:
    """Log in

    Starts a new session. 401 if the username or the password is wrong: the response and its time are the same for an
    unknown username. OAuth 2.0 clients can send a form with `grant_type=password` instead of JSON. Errors of a form
    have the member `error` of RFC 6749.
    """
    if password_grant.is_form():
        return password_grant.answer(_log_in_as)
    return _log_in_as(request.get_json())


@api.post("/auth/refresh", responses={200: SessionResponse})
@requires_refresh_token
def refresh() -> dict[str, Any]:
    """Refresh the tokens of a session

    Needs a refresh token as bearer token, and returns a new pair. Each refresh token can be used once. A second use
    revokes the whole session, because the token was copied.
    """
    player_id, session_id = current_caller().session
    generation = current_caller().generation
    if not isinstance(generation, int):
        raise CredentialsInvalid
    with db.transaction() as conn:
        rotated = sessions.rotate_refresh_token(conn, session_id, player_id, generation, ttl=session_ttl())
        if rotated is None and sessions.revoke_session(conn, session_id, "reuse"):
            record(conn, "session.revoked", object_id=session_id, new={"reason": "reuse"})
    if rotated is None:
        publish_access_change(player_id)
        raise CredentialsRevoked("This refresh token was already used, or its session has ended. Log in again.")
    return _session_response(StartedSession(player_id, rotated.username, session_id, rotated.generation))


@api.post("/auth/logout", responses={204: None})
@requires_login
def log_out() -> tuple[str, int]:
    """Log out

    Revokes this session. Its tokens are rejected from the response on, and its WebSockets are closed.
    """
    player_id, session_id = current_caller().session
    with db.connection() as conn:
        sessions.revoke_session(conn, session_id, "logout")
    publish_access_change(player_id)
    return "", 204


def _log_in_as(credentials: Mapping[str, Any]) -> dict[str, Any]:
    body = LoginBody.model_validate(credentials)
    return _session_response(start_password_session(body.username, body.password))


def start_password_session(username: str, password: str) -> StartedSession:
    """Verify the password and start a session. Raise Unauthenticated, and Unavailable if the hash keeps changing."""
    for _ in range(MAX_LOGIN_ATTEMPTS):
        with db.connection() as conn:
            credentials = store.find_credentials(conn, username)
        # No connection is held while hashing, which takes long.
        is_correct = passwords.verify_password(password, credentials.password_hash if credentials else None)
        if credentials is None or not is_correct:
            raise Unauthenticated("The username or the password is wrong.")
        session_id = uuid7()
        with db.connection() as conn:
            created = sessions.create_session_if_password(
                conn,
                session_id,
                credentials.player_id,
                credentials.password_hash,
                ttl=session_ttl(),
                device=current_device(),
            )
        if created:
            if passwords.needs_rehash(credentials.password_hash):
                _rehash(credentials, password)
            return StartedSession(credentials.player_id, credentials.username, session_id)
        # The hash was changed since it was read. The password is verified against the new one.
    raise Unavailable("The password is being changed. Retry shortly.")


def _rehash(credentials: Credentials, password: str) -> None:
    """Store a hash with the current parameters."""
    new_hash = passwords.hash_password(password)
    with db.connection() as conn:
        store.replace_password_hash(conn, credentials.player_id, old=credentials.password_hash, new=new_hash)


def _check_guest(account: Account | None) -> None:
    if account is None:
        raise CredentialsRevoked
    if not account.is_guest:
        raise AlreadyRegistered


def _hashed_key() -> str | None:
    """Return the hash that the request's Idempotency-Key is stored as. None without a key. Raise Invalid.

    The key gives access to the guest's account. So it must be random, and is not stored itself.
    """
    key = idempotency_key()
    if key is None:
        return None
    if not re.fullmatch(UUID4_SCHEMA["pattern"], key):
        raise Invalid(
            FieldError(f"header.{HEADER}", "Use a random UUID (version 4). It gives access to the guest's account.")
        )
    return sha256(key.lower().encode()).hexdigest()


def _session_response(session: StartedSession) -> dict[str, Any]:
    player_id, claims = session.player_id, {"family": str(session.id)}
    return SessionResponse(
        player_id=player_id,
        username=session.username,
        access_token=create_access_token(str(player_id), additional_claims=claims),
        refresh_token=create_refresh_token(
            str(player_id), additional_claims=claims | {"generation": session.generation}
        ),
        token_type="Bearer",  # noqa: S106 - the name of the scheme
        expires_in=current_settings().access_token_minutes * 60,
    ).model_dump(mode="json")


def current_device() -> str:
    """Return the kind of device that starts a session."""
    return device_kind(request.headers.get("User-Agent"))


def session_ttl() -> timedelta:
    """Return how long a session lasts after its last refresh: as long as its refresh token."""
    return timedelta(days=current_settings().refresh_token_days)
