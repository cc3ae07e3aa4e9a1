"""Invitations over HTTP: no player becomes a member, or an owner, without accepting."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask

from shared.infra.db import Conn
from shared.organizations import members
from shared.organizations.rules import MAX_OPEN_INVITATIONS, ROLES
from tests.support.callers import SignedInPlayer, Staff, sign_in
from tests.support.factories import make_invitation, make_org
from workers.cleanup import purge_all


@pytest.fixture
def ada(app: Flask, conn: Conn) -> SignedInPlayer:
    return sign_in(app, conn, "ada")


def invite(client: Any, staff: Staff, by: str = "owner", **body: Any) -> Any:
    return client.post(f"{staff.path}/invitations", json={"role": "analyst"} | body, headers=staff[by].headers)


def accept(client: Any, url: str, by: SignedInPlayer) -> Any:
    return client.post(f"{url}/accept", headers=by.headers)


def received(client: Any, by: SignedInPlayer) -> Any:
    return client.get("/users/me/invitations", headers=by.headers).json["items"]


def test_a_player_becomes_a_member_when_they_accept(client: Any, conn: Conn, staff: Staff, ada: SignedInPlayer) -> None:
    created = invite(client, staff, username="ADA")

    assert created.status_code == 201
    times = created.json["created_at"], created.json["expires_at"]
    assert created.json == {
        "id": created.json["id"],
        "url": f"/invitations/{created.json['id']}",
        "qr_svg": created.json["qr_svg"],
        "role": "analyst",
        "player_id": str(ada.id),
        "username": "ada",
        "uses": 1,
        "uses_left": 1,
        "created_by": str(staff.owner.id),
        "created_at": times[0],
        "expires_at": times[1],
    }
    assert client.get(staff.path, headers=ada.headers).status_code == 403
    (offer,) = received(client, ada)
    assert (offer["url"], offer["role"], offer["org_id"]) == (created.json["url"], "analyst", str(staff.org_id))
    assert client.get(created.json["url"]).json.keys() == {"organization", "role", "invited_by", "expires_at"}
    assert accept(client, created.json["url"], staff.stranger).status_code == 404

    accepted = accept(client, offer["url"], ada)

    assert (accepted.status_code, accepted.json["role"]) == (200, "analyst")
    assert client.get(staff.path, headers=ada.headers).json["role"] == "analyst"
    assert received(client, ada) == []
    assert client.get(f"{staff.path}/invitations", headers=staff.owner.headers).json["items"] == []
    assert accept(client, offer["url"], ada).status_code == 409


def test_posting_a_member_only_invites(client: Any, conn: Conn, staff: Staff, ada: SignedInPlayer) -> None:
    body = {"username": "ada", "role": "analyst"}

    response = client.post(f"{staff.path}/members", json=body, headers=staff.admin.headers)

    assert (response.status_code, response.json["url"]) == (202, f"/invitations/{response.json['id']}")
    assert members.get_role(conn, staff.org_id, ada.id) is None
    again = client.post(f"{staff.path}/members", json=body, headers=staff.admin.headers)
    assert (again.status_code, again.json["detail"]) == (
        409,
        "This player already has an open invitation. Revoke it first.",
    )


def test_a_declined_invitation_has_ended(client: Any, conn: Conn, staff: Staff, ada: SignedInPlayer) -> None:
    url = invite(client, staff, username="ada").json["url"]

    assert client.post(f"{url}/decline", headers=staff.stranger.headers).status_code == 404
    assert client.post(f"{url}/decline", headers=ada.headers).status_code == 204

    assert accept(client, url, ada).status_code == 410
    assert client.get(url).status_code == 410
    assert client.post(f"{url}/decline", headers=ada.headers).status_code == 410
    assert invite(client, staff, username="ada").status_code == 201


def test_a_link_is_used_by_as_many_players_as_it_says(
    app: Flask, client: Any, conn: Conn, staff: Staff, ada: SignedInPlayer
) -> None:
    url = invite(client, staff, uses=2, role="member").json["url"]
    bob, eve = sign_in(app, conn), sign_in(app, conn)

    assert client.post(f"{url}/decline", headers=eve.headers).status_code == 204
    assert accept(client, url, ada).status_code == 200
    assert accept(client, url, ada).status_code == 409
    assert accept(client, url, staff.admin).status_code == 409
    assert accept(client, url, bob).status_code == 200

    ended = accept(client, url, eve)
    assert (ended.status_code, ended.json["detail"]) == (410, "This invitation is no longer valid.")
    assert client.get(url).status_code == 410
    assert members.get_role(conn, staff.org_id, eve.id) is None


def test_the_secret_of_a_link_is_shown_once_and_not_stored(client: Any, conn: Conn, staff: Staff) -> None:
    created = invite(client, staff).json
    token = created["url"].removeprefix("/invitations/")

    listed = client.get(f"{staff.path}/invitations", headers=staff.owner.headers)

    assert [item["id"] for item in listed.json["items"]] == [created["id"]]
    assert token not in listed.text
    assert token not in str(conn.execute("SELECT i::text FROM invitations i").fetchall())
    # The id of a link is no secret, so it leads nowhere.
    assert client.get(f"/invitations/{created['id']}").status_code == 404
    assert client.get("/invitations/unknown").status_code == 404


@pytest.mark.parametrize("by", ["admin", "owner"])
@pytest.mark.parametrize("role", ROLES)
def test_admins_invite_to_roles_below_their_own(client: Any, staff: Staff, ada: Any, by: str, role: str) -> None:
    allowed = by == "owner" or role in ("member", "analyst")

    created = invite(client, staff, by, role=role)
    assert created.status_code == (201 if allowed else 403)
    assert invite(client, staff, by, role=role, username="ada").status_code == (201 if allowed else 403)

    link = invite(client, staff, role=role).json
    revoked = client.delete(f"{staff.path}/invitations/{link['id']}", headers=staff[by].headers)
    assert revoked.status_code == (204 if allowed else 403)
    assert client.get(link["url"]).status_code == (410 if allowed else 200)


def test_a_revoked_or_expired_invitation_is_410(client: Any, conn: Conn, staff: Staff, ada: SignedInPlayer) -> None:
    revoked, expired = invite(client, staff).json, invite(client, staff, username="ada").json
    path = f"{staff.path}/invitations/{revoked['id']}"
    assert client.delete(path, headers=staff.owner.headers).status_code == 204
    assert client.delete(path, headers=staff.owner.headers).status_code == 404
    conn.execute("UPDATE invitations SET expires_at = now() WHERE id = %s", (expired["id"],))

    for invitation in (revoked, expired):
        assert accept(client, invitation["url"], ada).status_code == 410
        assert client.get(invitation["url"]).status_code == 410
    assert received(client, ada) == []
    assert client.get(f"{staff.path}/invitations", headers=staff.owner.headers).json["items"] == []
    # It no longer prevents the next one.
    assert invite(client, staff, username="ada").status_code == 201


def test_an_owner_is_offered_and_not_made(client: Any, conn: Conn, staff: Staff) -> None:
    path = f"{staff.path}/members/{staff.admin.id}"

    offered = client.patch(path, json={"role": "owner"}, headers=staff.owner.headers)

    assert (offered.status_code, offered.json["role"]) == (202, "owner")
    assert members.get_role(conn, staff.org_id, staff.admin.id) == "admin"
    accepted = accept(client, offered.json["url"], staff.admin)
    assert (accepted.status_code, accepted.json["role"]) == (200, "owner")
    assert members.get_role(conn, staff.org_id, staff.admin.id) == "owner"
    unchanged = client.patch(path, json={"role": "owner"}, headers=staff.owner.headers)
    assert (unchanged.status_code, unchanged.json["role"]) == (200, "owner")


@pytest.mark.parametrize("change", ["removed", "demoted", "left"])
def test_invitations_of_a_member_who_lost_the_role_are_revoked(
    client: Any, conn: Conn, staff: Staff, ada: SignedInPlayer, change: str
) -> None:
    """Otherwise a removed admin could return with a link of their own."""
    url = invite(client, staff, "admin", role="member", uses=5).json["url"]
    path = f"{staff.path}/members/{staff.admin.id}"

    if change == "demoted":
        response = client.patch(path, json={"role": "analyst"}, headers=staff.owner.headers)
    else:
        by = staff.owner if change == "removed" else staff.admin
        response = client.delete(path, headers=by.headers)

    assert response.status_code < 300
    assert accept(client, url, staff.stranger).status_code == 410


def test_a_removed_member_cannot_return_by_an_open_offer(client: Any, conn: Conn, staff: Staff) -> None:
    path = f"{staff.path}/members/{staff.admin.id}"
    url = client.patch(path, json={"role": "owner"}, headers=staff.owner.headers).json["url"]

    assert client.delete(path, headers=staff.owner.headers).status_code == 204

    assert accept(client, url, staff.admin).status_code == 410
    assert members.get_role(conn, staff.org_id, staff.admin.id) is None


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        ({"role": "boss"}, "body.role"),
        ({"username": "unknown"}, "body.username"),
        ({"uses": 0}, "body.uses"),
        ({"uses": 1_001}, "body.uses"),
        ({"uses": 2, "username": "ada"}, "body"),
        ({"uses": 2, "role": "owner"}, "body"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "body.expires_at"),
        ({"expires_at": (datetime.now(UTC) + timedelta(days=91)).isoformat()}, "body.expires_at"),
    ],
)
def test_invalid_invitation_names_the_field(
    client: Any, staff: Staff, ada: SignedInPlayer, body: dict[str, Any], loc: str
) -> None:
    response = invite(client, staff, **body)

    assert response.status_code == 422
    assert response.json["errors"][0]["loc"] == loc


def test_open_invitations_are_limited(client: Any, conn: Conn, staff: Staff) -> None:
    conn.execute(
        """
        INSERT INTO invitations (org_id, role, token_digest, uses, uses_left, expires_at)
        SELECT %s, 'member', sha256(n::text::bytea), 1, 1, now() + interval '1 day' FROM generate_series(1, %s) n
        """,
        (staff.org_id, MAX_OPEN_INVITATIONS),
    )

    response = invite(client, staff)

    assert response.status_code == 409
    assert f"{MAX_OPEN_INVITATIONS} open invitations" in response.json["detail"]


def test_invitations_are_limited_per_player(limited: Any, app: Flask, conn: Conn, staff: Staff) -> None:
    """A username that no player has is a guess."""
    client = limited(INVITATION="2 per minute")

    responses = [invite(client, staff, username=f"guess{number}") for number in range(3)]

    assert [response.status_code for response in responses] == [422, 422, 429]
    assert invite(client, staff, "admin").status_code == 201


def test_token_of_a_link_is_not_logged(client: Any, staff: Staff, capsys: pytest.CaptureFixture[str]) -> None:
    url = invite(client, staff).json["url"]
    client.get(url)
    client.get(f"{url}/accept")  # 405
    client.post(f"{url}/accept", headers=staff.stranger.headers)

    output = capsys.readouterr()
    assert "/invitations/{token}" in output.out + output.err
    assert url not in output.out + output.err


def test_invitations_are_purged_a_month_after_their_expiry(conn: Conn, staff: Staff) -> None:
    kept, purged = (make_invitation(conn, staff.org_id, player.id) for player in (staff.member, staff.stranger))
    for invitation_id, days in ((kept, 29), (purged, 31)):
        conn.execute(
            "UPDATE invitations SET expires_at = now() - make_interval(days => %s) WHERE id = %s",
            (days, invitation_id),
        )

    assert purge_all().invitations == 1
    assert conn.execute("SELECT id FROM invitations").fetchall() == [(kept,)]


def test_pages_of_received_invitations(client: Any, app: Flask, conn: Conn, ada: SignedInPlayer) -> None:
    # Ids of one millisecond are in no order.
    ids = sorted(str(make_invitation(conn, make_org(conn), ada.id)) for _ in range(3))

    first = client.get("/users/me/invitations?limit=2", headers=ada.headers).json
    second = client.get(f"/users/me/invitations?limit=2&cursor={first['next_cursor']}", headers=ada.headers).json

    assert [item["id"] for item in first["items"] + second["items"]] == ids[::-1]
    assert accept(client, f"/invitations/{uuid4()}", ada).status_code == 404
