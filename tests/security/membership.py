"""Attacks on membership: roles without consent, foreign and revoked invitations, and organizations that are deleted."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import MagicMock, patch
from uuid import UUID

from shared.infra.db import Conn
from shared.organizations import api_keys, invitations, members
from shared.organizations.invitations import Invitation
from shared.visits import store as visits
from tests.security.attack import Attack, Scene, replaced, requiring, without_condition
from tests.support.callers import SignedInPlayer, make_key
from tests.support.database import table_names
from web.api import invitations as invitation_views
from web.api import members as member_views
from web.http import idempotency, request_context
from web.http.auth import Requirement
from web.pages import visits as visit_pages

JsonObject = dict[str, Any]


def invite(scene: Scene, by: SignedInPlayer, key: str | None = None, **body: Any) -> JsonObject:
    headers = {"Idempotency_Key": key} if key else {}
    invitation: JsonObject = scene.ask("POST", f"{scene.victim.path}/invitations", by, body, **headers).json
    return invitation


def accepts(scene: Scene, url: str, player: SignedInPlayer) -> bool:
    return scene.lets("POST", f"{url}/accept", player)


def made_a_member(scene: Scene) -> bool:
    """An owner adds a player who has accepted nothing."""
    victim = scene.victim.owner
    (username,) = scene.conn.execute("SELECT username FROM players WHERE id = %s", (victim.id,)).fetchone() or ("",)
    body = {"username": username, "role": "owner"}
    scene.ask("POST", f"{scene.attacker.path}/members", scene.attacker.owner, body)
    return members.get_role(scene.conn, scene.attacker.org_id, victim.id) is not None


def made_an_owner(scene: Scene) -> bool:
    """An owner makes a member the owner, who then answers for the organization."""
    member = scene.attacker.member
    scene.ask("PATCH", f"{scene.attacker.path}/members/{member.id}", scene.attacker.owner, {"role": "owner"})
    return members.get_role(scene.conn, scene.attacker.org_id, member.id) == "owner"


def promote(conn: Conn, org_id: UUID, player_id: UUID, *_: Any) -> JsonObject:
    members.set_role(conn, org_id, player_id, "owner")
    return {}


def add_without_asking(conn: Conn, org_id: UUID, _username: str, *_: Any) -> JsonObject:
    row = conn.execute("SELECT id FROM players WHERE lower(username) = lower(%s)", (_username,)).fetchone()
    assert row is not None
    members.add_member(conn, org_id, row[0], "owner")
    return {}


def anothers_invitation(scene: Scene) -> bool:
    """The id of an invitation by username is known to staff."""
    stored = invitations.add(
        scene.conn,
        scene.victim.org_id,
        "admin",
        player_id=scene.victim.stranger.id,
        expires_at=datetime.now(UTC) + timedelta(days=1),
        created_by=scene.victim.owner.id,
    )
    return accepts(scene, f"/invitations/{stored.id}", scene.attacker.owner)


def lock_for_any_player(conn: Conn, reference: str, _player_id: UUID) -> Invitation:
    invitation = invitations.find(conn, reference)
    assert invitation is not None
    return invitation


def an_admin_makes_an_owner(scene: Scene) -> bool:
    return "url" in invite(scene, scene.victim.admin, role="owner")


def a_removed_admin_returns(scene: Scene) -> bool:
    """With a link that they made for themselves."""
    admin = scene.victim.admin
    url = invite(scene, admin, role="member")["url"]
    assert scene.lets("DELETE", f"{scene.victim.path}/members/{admin.id}", scene.victim.owner)
    return accepts(scene, url, admin)


def a_removed_member_returns(scene: Scene) -> bool:
    """With an offer of ownership from before."""
    member = f"{scene.victim.path}/members/{scene.victim.admin.id}"
    url = scene.ask("PATCH", member, scene.victim.owner, {"role": "owner"}).json["url"]
    assert scene.lets("DELETE", member, scene.victim.owner)
    return accepts(scene, url, scene.victim.admin)


def links_in_a_backup(scene: Scene) -> bool:
    """Whether any table holds a link that can be used, also where its creation may be repeated."""
    url = invite(scene, scene.victim.owner, key="k", role="admin")["url"]
    token = url.removeprefix("/invitations/")
    return any(
        token in str(row)
        for table in table_names(scene.conn)
        for row in scene.conn.execute(f"SELECT t::text FROM {table} t")
    )


def links_in_the_log(scene: Scene) -> bool:
    url = invite(scene, scene.victim.owner, role="admin")["url"]
    with patch.object(request_context, "log", MagicMock()) as log:
        scene.ask("GET", url)
    return url in str(log.info.call_args)


def delete(scene: Scene) -> None:
    (name,) = scene.conn.execute("SELECT name FROM organizations WHERE id = %s", (scene.victim.org_id,)).fetchone() or (
        "",
    )
    assert scene.lets("DELETE", scene.victim.path, scene.victim.owner, {"name": name})


def key_of_a_deleted_organization(scene: Scene) -> bool:
    machine = make_key(scene.conn, scene.victim.org_id)
    delete(scene)
    body = {"player_id": str(scene.victim.stranger.id), "qr_code": "spy123"}
    return bool(scene.client.post("/scan", headers=machine.headers, json=body).status_code == 202)


def routes_of_a_deleted_organization(scene: Scene) -> bool:
    delete(scene)
    return scene.lets("GET", scene.victim.codes, scene.victim.admin)


def codes_of_a_deleted_organization(scene: Scene) -> bool:
    """A poster that leads to a website of the organization."""
    text = scene.text_of(
        scene.their_code(scan_type=None, target_url="https://a.example", reward_item=None, reward_quantity=None)
    )
    delete(scene)
    with patch.object(visit_pages, "visit_buffer"):
        return scene.lets("GET", f"/s/{text}")


ATTACKS = [
    Attack(
        "a player made a member without accepting",
        made_a_member,
        replaced(member_views, "invite_by_username", add_without_asking),
    ),
    Attack("a member made an owner without accepting", made_an_owner, replaced(member_views, "invite_player", promote)),
    Attack(
        "another player's invitation, accepted",
        anothers_invitation,
        replaced(invitations, "lock", lock_for_any_player),
    ),
    Attack(
        "an admin who invites an owner",
        an_admin_makes_an_owner,
        replaced(invitation_views, "can_invite", lambda *_: True),
    ),
    Attack(
        "a removed admin's own link",
        a_removed_admin_returns,
        replaced(invitations, "revoke_by_creator", lambda *_: None),
    ),
    Attack(
        "a removed member's open invitation",
        a_removed_member_returns,
        replaced(invitations, "revoke_for_player", lambda *_: None),
    ),
    Attack(
        "invitation links in a stolen backup",
        links_in_a_backup,
        replaced(idempotency, "_encrypt", lambda text, _: text),
    ),
    Attack(
        "API key of a deleted organization",
        key_of_a_deleted_organization,
        without_condition(api_keys.authenticate, "coalesce(o.closed_at > now(), true)"),
    ),
    Attack(
        "routes of a deleted organization",
        routes_of_a_deleted_organization,
        requiring("codes.list_codes", Requirement("role", "member", "codes:read", in_closed=True)),
    ),
    Attack(
        "codes of a deleted organization",
        codes_of_a_deleted_organization,
        without_condition(visits.find_target, "coalesce(o.closed_at > now(), true)"),
    ),
    Attack(
        "invitation links in the access log",
        links_in_the_log,
        replaced(request_context, "SECRET_PATHS", re.compile("(?!)()")),
    ),
]
