"""A player's own account over HTTP: what it is, what is held on them and what they may set, its
password, and its end."""

from datetime import UTC, datetime
from typing import Annotated, Any

from flask import Response
from flask_openapi import APIBlueprint, Tag
from pydantic import Field, StringConstraints

from shared.accounts import erasure, passwords, store
from shared.accounts.export import document
from shared.accounts.rules import PASSWORD_CHARACTERS
from shared.accounts.store import Account, Profile
from shared.audit.rules import diff
from shared.errors import FieldError, GuestAccount, Invalid, NotFound, Unauthenticated, WrongPassword
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

EXPORT: dict[str | int, Any] = {
    200: {
        "description": "The document, a list for each kind of thing",
        "headers": {"Content-Disposition": {"schema": {"type": "string"}}},
        "content": {
            "application/json": {"schema": {"type": "object", "required": ["exported_at", "account", "scans"]}}
        },
    }
}

CurrentPassword = Annotated[str, StringConstraints(max_length=PASSWORD_CHARACTERS[1])]
"""A password that is checked against the stored one. No more is said of its form."""


class ProfilePatchBody(PatchBody):
    """What to change; null takes the address away. `timezone` is where quests that count days count them."""

    username: Username = ""
    email: Email | None = None
    timezone: TimeZone = "UTC"


class PasswordBody(Body):
    current_password: CurrentPassword
    new_password: Password


class EraseBody(Body):
    """Who has a password says it; a guest has none to say."""

    current_password: CurrentPassword | None = None


class ProfileResponse(ResponseModel):
    """The caller's account; `email` is told to nobody else."""

    id: Id
    username: str
    email: str | None
    timezone: str
    guest: bool = Field(description="Whether there is no password yet, and no name of one's own")
    created_at: Timestamp


@api.get("", responses={200: ProfileResponse})
@requires_login
def get_profile() -> dict[str, Any]:
    """Your own account."""
    with db.connection() as conn:
        return _profile(store.get_profile(conn, current_player_id()))


@api.patch("", responses={200: ProfileResponse, 409: None})
@requires_login
def update_profile(body: ProfilePatchBody) -> dict[str, Any]:
    """Change your own account: what is given, and nothing else. A guest has no name and no address to change: 409."""
    player_id, changes = current_player_id(), body.changes()
    with db.transaction() as conn:
        before = store.get_profile(conn, player_id)
        if changes.keys() & {"username", "email"}:
            _check_account(store.lock_account(conn, player_id))
        if "username" in changes:
            store.rename(conn, player_id, changes["username"])
        if "email" in changes:
            store.set_email(conn, player_id, changes["email"])
        if "timezone" in changes:
            store.set_timezone(conn, player_id, changes["timezone"])
        told = _profile(store.get_profile(conn, player_id))
        old, new = diff(vars(before) if before else {}, changes, secret=("email",))
        if new:
            record(conn, "account.changed", object_id=player_id, old=old, new=new)
        return told


@api.post("/password", responses={204: None, 403: None, 409: None})
@requires_login
@serialize_requests
def change_password(body: PasswordBody) -> tuple[str, int]:
    """Change your password: from the answer on, every other login of yours has ended."""
    player_id, family_id = current_caller().login
    with db.connection() as conn:
        stored = _check_account(store.get_account(conn, player_id))
    if not passwords.verify_password(body.current_password, stored):
        raise WrongPassword
    password_hash = passwords.hash_password(body.new_password)
    with db.transaction() as conn:
        if not store.replace_password_hash(conn, player_id, old=stored, new=password_hash):
            raise WrongPassword  # any more: another request was first
        store.revoke_sessions(conn, player_id, "password", but=family_id)
        record(conn, "password.changed", object_id=player_id)
    publish_access_change(player_id)
    return "", 204


@api.get("/export", responses=EXPORT)
@requires_login
def export_data() -> Response:
    """Everything that is held on you, as one JSON document."""
    player_id = current_player_id()
    written = SlotBoundIterator(lambda: prime(document(player_id, datetime.now(UTC))))
    headers = {"Content-Disposition": 'attachment; filename="waymark-export.json"'}
    return Response(written, headers=headers, content_type="application/json")


@api.delete("", responses={204: None, 403: None, 409: None})
@requires_login
@serialize_requests
def delete_account(body: EraseBody) -> tuple[str, int]:
    """Be forgotten: name, address and positions, codes you generated, every login. Counts and ledgers stay, under a
    made-up name. The last owner of an organization has to make somebody else one first: 409."""
    player_id = current_player_id()
    with db.connection() as conn:
        found = store.get_account(conn, player_id)
    if found is not None and found.password_hash is not None:
        if body.current_password is None:
            raise Invalid(FieldError("body.current_password", "must be given"))
        if not passwords.verify_password(body.current_password, found.password_hash):
            raise WrongPassword
    with db.transaction() as conn:
        now = store.lock_account(conn, player_id)
        if now is None:
            raise Unauthenticated
        if found is None or now.password_hash != found.password_hash:
            raise WrongPassword  # any more
        erasure.erase(conn, player_id)
    background_sender.submit(ErasuresPending())
    publish_access_change(player_id)
    return "", 204


def _check_account(found: Account | None) -> str:
    """The hash of the account's password. Raises StillAGuest."""
    if found is None:
        raise NotFound
    if found.password_hash is None:
        raise GuestAccount
    return found.password_hash


def _profile(found: Profile | None) -> dict[str, Any]:
    if found is None:
        raise NotFound
    return ProfileResponse.model_validate(found).model_dump(mode="json")
