"""A player's own account over HTTP: what it is, and what they may set of it."""

from typing import Any

from flask_openapi import APIBlueprint, Tag

from shared import db
from shared.accounts import store
from shared.accounts.store import Profile
from shared.errors import NotFound
from web.analytics import Zone
from web.auth import me, signed_in
from web.fields import Answer, Id, PatchBody, Time

api = APIBlueprint("profile", __name__, url_prefix="/users/me", abp_tags=[Tag(name="Accounts")])


class ProfilePatchBody(PatchBody):
    """`timezone` is where quests that count days count them."""

    timezone: Zone = "UTC"


class ProfileAnswer(Answer):
    """The caller's account; `email` is told to nobody else."""

    id: Id
    username: str
    email: str | None
    timezone: str
    created_at: Time


@api.get("", responses={200: ProfileAnswer})
@signed_in
def show() -> dict[str, Any]:
    """Your own account."""
    with db.connection() as conn:
        return _profile(store.profile(conn, me()))


@api.patch("", responses={200: ProfileAnswer})
@signed_in
def change(body: ProfilePatchBody) -> dict[str, Any]:
    """Change your own account: what is given, and nothing else."""
    with db.transaction() as conn:
        if (timezone := body.changes().get("timezone")) is not None:
            store.set_timezone(conn, me(), timezone)
        return _profile(store.profile(conn, me()))


def _profile(found: Profile | None) -> dict[str, Any]:
    if found is None:
        raise NotFound
    return ProfileAnswer.model_validate(found).model_dump(mode="json")
