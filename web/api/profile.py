"""A player's own account over HTTP: profile, password, export of personal data, erasure."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from flask import Response
from flask_openapi import APIBlueprint, Tag
from pydantic import BeforeValidator, Field, StringConstraints
from pydantic.json_schema import WithJsonSchema

from shared.accounts import erasure, passwords, sessions, store
from shared.accounts.export import document
from shared.accounts.rules import PASSWORD_CHARACTERS
from shared.accounts.store import Account, Profile
from shared.audit.rules import diff
from shared.errors import CredentialsRevoked, FieldError, GuestAccount, Invalid, NotFound, WrongPassword
from shared.infra import db
from shared.infra.message_sender import background_sender
from shared.infra.pubsub_messages import publish_access_change
from shared.messages import ErasuresPending
from web.api.accounts import Email, Password
from web.http.audit_log import record
from web.http.auth import current_caller, current_player_id, requires_login
from web.http.file_responses import SlotBoundIterator, prime
from web.http.request_context import serialize_requests
from web.http.schemas import Body, Id, PatchBody, ResponseModel, Timestamp, TimeZone, Username

api = APIBlueprint("profile", __name__, url_prefix="/users/me", abp_tags=[Tag(name="Accounts")])

EXPORT_RESPONSE: dict[str | int, Any] = {
    200: {
        "description": "The document, with a list for each kind of data",
        "headers": {"Content-Disposition": {"schema": {"type": "string"}}},
        "content": {
            "application/json": {
                "schema": {"type": "object", "required": ["exported_at", "account", "scans"]},
                "example": {"exported_at": "2026-02-12T10:00:00Z", "account": {"username": "ada"}, "scans": []},
            }
        },
    }
}

CurrentPassword = Annotated[str, StringConstraints(max_length=PASSWORD_CHARACTERS[1])]
"""A password in any form: it is compared with the stored one."""


class ProfilePatchBody(PatchBody):
    """Fields to change. A null `email` removes the address. Quests that count days use `timezone`."""

    username: Username = ""
    email: Email | None = None
    timezone: TimeZone = "UTC"


class PasswordBody(Body):
    current_password: CurrentPassword
    new_password: Password


def _choice(value: object) -> object:
    try:
        return value if value == "delete" else UUID(str(value))
    except ValueError:
        raise ValueError('Use "delete" or the player_id of a member.') from None


OrganizationChoice = Annotated[UUID | Literal["delete"], BeforeValidator(_choice), WithJsonSchema({"type": "string"})]


class EraseBody(Body):
    """The current password, which a guest leaves out, and what becomes of organizations without another owner."""

    current_password: CurrentPassword | None = Field(
        None, description="Required, except for guests", examples=["correct horse"]
    )
    organizations: dict[Id, OrganizationChoice] = Field(
        {},
        max_length=1_000,
        description=(
            "For each organization of which you are the last owner, by its id: the `player_id` of a member who is "
            'offered it, or "delete"'
        ),
        examples=[{"0197a6b1-0a2b-7c3d-8e4f-5a6b7c8d9e0f": "delete"}],
    )


class ProfileResponse(ResponseModel):
    """The caller's account. No other player can read `email`."""

    id: Id
    username: str
    email: str | None
    timezone: str
    guest: bool = Field(description="True while the player has no password and a generated username", examples=[False])
    created_at: Timestamp


@api.get("", responses={200: ProfileResponse})
@requires_login
def get_profile() -> dict[str, Any]:
    """Get your account

    For players and guests. The email address is visible to its owner only.
    """
    with db.connection() as conn:
        return _to_response(store.get_profile(conn, current_player_id()))


@api.patch("", responses={200: ProfileResponse, 409: None})
@requires_login
def update_profile(body: ProfilePatchBody) -> dict[str, Any]:
    """Change your account

    Changes only the fields in the body. 409 if the username is taken, and for the username or email of a guest.
    """
    player_id, changes = current_player_id(), body.changes()
    with db.transaction() as conn:
        before = store.get_profile(conn, player_id)
        if changes.keys() & {"username", "email"}:
            _password_hash(store.lock_account(conn, player_id))
        if "username" in changes:
            store.rename(conn, player_id, changes["username"])
        if "email" in changes:
            store.set_email(conn, player_id, changes["email"])
        if "timezone" in changes:
            store.set_timezone(conn, player_id, changes["timezone"])
        response = _to_response(store.get_profile(conn, player_id))
        old, new = diff(vars(before) if before else {}, changes, secret=("email",))
        if new:
            record(conn, "account.changed", object_id=player_id, old=old, new=new)
        return response


@api.post("/password", responses={204: None, 403: None, 409: None})
@requires_login
@serialize_requests
def change_password(body: PasswordBody) -> tuple[str, int]:
    """Change your password

    Revokes all your other sessions. 403 if the current password is wrong, 409 for a guest.
    """
    player_id, session_id = current_caller().session
    with db.connection() as conn:
        account = store.get_account(conn, player_id)
    current_hash = _password_hash(account)
    if passwords.is_too_common(body.new_password, account.username if account else ""):
        raise Invalid(FieldError("body.new_password", passwords.TOO_COMMON))
    if not passwords.verify_password(body.current_password, current_hash):
        raise WrongPassword
    new_hash = passwords.hash_password(body.new_password)
    with db.transaction() as conn:
        # A session that another device continues is created before this lock, and revoked, or finds this one's end.
        store.lock_account(conn, player_id)
        if not store.replace_password_hash(conn, player_id, old=current_hash, new=new_hash):
            # A concurrent request has changed the password since it was verified.
            raise WrongPassword
        sessions.revoke_sessions(conn, player_id, "password", but=session_id)
        record(conn, "password.changed", object_id=player_id)
    publish_access_change(player_id)
    return "", 204


@api.get("/export", responses=EXPORT_RESPONSE)
@requires_login
def export_data() -> Response:
    """Export your data

    Returns everything that Waymark stores about you as one JSON document.
    """
    player_id = current_player_id()
    chunks = SlotBoundIterator(lambda: prime(document(player_id, datetime.now(UTC))))
    headers = {"Content-Disposition": 'attachment; filename="waymark-export.json"'}
    return Response(chunks, headers=headers, content_type="application/json")


@api.delete("", responses={204: None, 403: None, 409: None})
@requires_login
@serialize_requests
def delete_account(body: EraseBody) -> tuple[str, int]:
    """Erase your account

    Erases your username, email address and locations, the codes that you generated, and all your sessions. Counts and
    ledgers remain under a generated name. Needs the current password, unless you are a guest. 409 if you are the last
    owner of an organization that `organizations` does not name. A member who is offered it becomes the owner by
    accepting an invitation. If they do not accept within seven days, the organization is closed.
    """
    player_id = current_player_id()
    with db.connection() as conn:
        verified = store.get_account(conn, player_id)
    if verified is not None and verified.password_hash is not None:
        if body.current_password is None:
            raise Invalid(FieldError("body.current_password", "This field is required."))
        if not passwords.verify_password(body.current_password, verified.password_hash):
            raise WrongPassword
    with db.transaction() as conn:
        account = store.lock_account(conn, player_id)
        if account is None:
            raise CredentialsRevoked
        if verified is None or account.password_hash != verified.password_hash:
            # A concurrent request has changed the password since it was verified.
            raise WrongPassword
        erasure.erase(conn, player_id, body.organizations)
    background_sender.submit(ErasuresPending())
    publish_access_change(player_id, *(org_id for org_id, choice in body.organizations.items() if choice == "delete"))
    return "", 204


def _password_hash(account: Account | None) -> str:
    """Return the hash of the account's password. Raise NotFound without an account, GuestAccount for a guest."""
    if account is None:
        raise NotFound
    if account.password_hash is None:
        raise GuestAccount
    return account.password_hash


def _to_response(profile: Profile | None) -> dict[str, Any]:
    if profile is None:
        raise NotFound
    return ProfileResponse.model_validate(profile).model_dump(mode="json")
