"""Attacks by mass assignment: fields that a body has not, in the hope that they are taken over with the others."""

from typing import Any
from uuid import UUID

from shared.infra.db import Conn
from shared.organizations import members
from shared.organizations import store as organizations
from shared.organizations.members import lock_owners
from tests.security.attack import Attack, Attempt, Scene, all_of, replaced, taking_any_field
from web.api.accounts import RegisterBody
from web.api.codes import CodePatchBody
from web.api.organizations import OrganizationPatchBody
from web.api.profile import ProfilePatchBody
from web.api.scans import ScanBody
from web.http import auth, request_context
from web.http.auth import current_player_id


def accepted(method: str, path: str, **body: Any) -> Attempt:
    """The attacker names a field that only the service decides about, and hears no objection."""

    def attempt(scene: Scene) -> bool:
        own, ids = scene.attacker, {"player_id": str(scene.attacker.owner.id), "org_id": str(scene.victim.org_id)}
        named = {name: ids.get(name, value) for name, value in body.items()}
        return scene.lets(method, path.format(own=own.path, code=scene.own_code()), own.owner, named)

    return attempt


def another_organization_overwritten(scene: Scene) -> bool:
    """`id` in an update of the caller's organization: another organization's row would be stored."""
    body = {"id": str(scene.victim.org_id), "name": "Mine now", "slug": "mine-now"}
    scene.ask("PATCH", scene.attacker.path, scene.attacker.owner, body)
    found = organizations.find(scene.conn, scene.victim.org_id, scene.victim.owner.id)
    return found is not None and found.name == "Mine now"


def own_role(scene: Scene) -> bool:
    """A member who makes themselves an owner."""
    member = scene.victim.member
    scene.ask("PATCH", f"{scene.victim.path}/members/{member.id}", member, {"role": "owner"})
    return members.get_role(scene.conn, scene.victim.org_id, member.id) == "owner"


def lock_owners_and_caller(conn: Conn, org_id: UUID) -> set[UUID]:
    return lock_owners(conn, org_id) | {current_player_id()}


def misspelled_filter(scene: Scene) -> bool:
    """A machine that means to read one tag reads, prints or counts every code."""
    return scene.lets("GET", f"{scene.victim.codes}?tags=east", scene.victim.member)


ATTACKS = [
    Attack(
        "a misspelled filter, ignored", misspelled_filter, replaced(request_context, "check_query", lambda _view: None)
    ),
    Attack(
        "mass assignment: role at registration",
        accepted("POST", "/auth/register", username="mallory", password="correct horse", role="owner"),
        taking_any_field(RegisterBody),
    ),
    Attack(
        "mass assignment: role in a profile",
        accepted("PATCH", "/users/me", role="owner"),
        taking_any_field(ProfilePatchBody),
    ),
    Attack(
        "mass assignment: the caller's own role",
        own_role,
        all_of(
            replaced(auth, "includes_role", lambda *_: True),
            replaced(members, "lock_owners", lock_owners_and_caller),
        ),
    ),
    Attack(
        "mass assignment: org_id of a code",
        accepted("PATCH", "{own}/qr-codes/{code}", org_id="the victim's"),
        taking_any_field(CodePatchBody),
    ),
    Attack(
        "mass assignment: id of an organization",
        another_organization_overwritten,
        taking_any_field(OrganizationPatchBody),
    ),
    Attack(
        "mass assignment: success of a scan",
        accepted("POST", "/scan", player_id="the caller", qr_code="spy123", success=True, status="success"),
        taking_any_field(ScanBody),
    ),
]
