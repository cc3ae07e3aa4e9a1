"""An erasure removes all personal data of a player, and changes no count, ledger or quest."""

from functools import partial
from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from shared.infra import db
from shared.infra.db import Conn
from shared.organizations import api_keys
from shared.organizations.api_keys import NewApiKey
from shared.quests import replay
from shared.quests.replay import ReplayCheckpoint
from tests.accounts.personal_data import (
    EMAIL,
    HERE,
    KNOWN,
    NAME,
    TRACES,
    Life,
    erase,
    find_traces,
    keyed,
    live,
    player_columns,
)
from tests.analytics.expected_rollups import counted, rolled_up
from tests.analytics.factories import rebuild_all
from tests.conftest import PASSWORD
from tests.support.callers import add_member, give_password, make_staff, sign_in
from tests.support.concurrency import run_concurrently
from tests.support.factories import make_code, submit_scan

COUNTED = "id, qr_code_id, scan_time, status, reason, outcome, device"


@pytest.fixture
def life(app: Flask, conn: Conn) -> Life:
    return live(app, conn)


def test_no_row_of_any_table_contains_personal_data(client: Any, conn: Conn, life: Life) -> None:
    # The search finds every trace before the erasure.
    assert {trace for _, trace in find_traces(conn, *TRACES)} == set(TRACES)
    # These values belong to the codes.
    conn.execute("UPDATE qr_codes SET latitude = 1, longitude = 1")

    assert erase(client, life.ada, **KNOWN).status_code == 204

    assert find_traces(conn, *(trace for trace in TRACES if trace != "Lisbon")) == []
    assert find_traces(conn, "Europe/Lisbon") == []
    assert conn.execute("SELECT location_code FROM players WHERE id = %s", (life.ada.id,)).fetchone() == (None,)


def test_sessions_and_password_end_and_the_username_is_free(client: Any, conn: Conn, life: Life) -> None:
    other = client.post("/auth/login", json={"username": NAME, "password": PASSWORD}).json

    assert erase(client, life.ada, **KNOWN).status_code == 204

    for token in (life.ada.access_token, other["access_token"]):
        assert client.get("/users/me", headers={"Authorization": f"Bearer {token}"}).status_code == 401
    for token in (life.ada.refresh_token, other["refresh_token"]):
        assert client.post("/auth/refresh", headers={"Authorization": f"Bearer {token}"}).status_code == 401
    tombstone = db.exactly_one(conn.execute("SELECT username FROM players WHERE id = %s", (life.ada.id,)))[0]
    for username in (NAME, tombstone):
        response = client.post("/auth/login", json={"username": username, "password": PASSWORD})
        assert (response.status_code, response.json["detail"]) == (401, "The username or the password is wrong.")
    members = f"{life.staff.path}/members"
    body = {"username": tombstone, "role": "member"}
    assert client.post(members, json=body, headers=life.staff.owner.headers).status_code == 422
    registered = client.post("/auth/register", json={"username": NAME, "password": PASSWORD}, headers=keyed())
    assert registered.status_code == 201
    assert registered.json["player_id"] != str(life.ada.id)
    reasons = conn.execute("SELECT DISTINCT revoked_reason FROM sessions WHERE player_id = %s", (life.ada.id,))
    assert reasons.fetchall() == [("erased",)]


def test_counts_ledgers_and_quests_remain(client: Any, conn: Conn, life: Life) -> None:
    def load_remaining() -> list[Any]:
        return [
            conn.execute(statement, (life.ada.id,)).fetchall()
            for statement in (
                f"SELECT {COUNTED} FROM player_scans WHERE player_id = %s ORDER BY id",
                "SELECT * FROM inventory_ledger WHERE player_id = %s ORDER BY id",
                "SELECT * FROM quest_events WHERE player_id = %s ORDER BY id",
                "SELECT * FROM quest_states WHERE player_id = %s",
                "SELECT * FROM quest_claims WHERE player_id = %s",
                "SELECT id, type, data - 'qr_code' FROM events WHERE player_id = %s ORDER BY id",
            )
        ]

    before, counts = load_remaining(), counted(conn)
    assert all(before)

    erase(client, life.ada, **KNOWN)

    assert load_remaining() == before
    assert counted(conn) == counts
    assert rolled_up(conn) == counts
    rebuild_all(conn)
    assert rolled_up(conn) == counts
    assert [batch.differences for batch in replay.replay(ReplayCheckpoint(), player_id=life.ada.id)] == [[]]


def test_staff_see_a_generated_name_and_can_review(client: Any, conn: Conn, life: Life) -> None:
    erase(client, life.ada, **KNOWN)
    headers = life.staff.owner.headers

    listed = client.get(f"{life.staff.path}/scans?status=held", headers=headers).json["items"]
    (held,) = [scan for scan in listed if scan["scan_id"] == str(life.held)]

    assert held["username"].startswith("erased-")
    assert (held["latitude"], held["longitude"], held["distance_m"]) == (None, None, None)
    assert client.get(f"{life.staff.path}/scans/{life.held}/explain", headers=headers).status_code == 200
    released = client.post(f"{life.staff.path}/scans/{life.held}/release", headers=headers)
    assert (released.status_code, released.json["status"]) == (200, "success")
    assert life.ada.id not in {
        UUID(member["player_id"]) for member in client.get(f"{life.staff.path}/members", headers=headers).json["items"]
    }


@pytest.mark.parametrize(
    ("body", "status"),
    [({}, 422), ({"current_password": None}, 422), ({"current_password": "guess"}, 403), ({"password": PASSWORD}, 422)],
)
def test_an_erasure_needs_the_password_of_the_account(
    app: Flask, client: Any, conn: Conn, body: dict[str, Any], status: int
) -> None:
    ada = sign_in(app, conn, NAME)
    give_password(conn, ada.id, PASSWORD, EMAIL)

    assert erase(client, ada, **body).status_code == status

    assert client.get("/users/me", headers=ada.headers).json["email"] == EMAIL


def test_a_guest_is_erased_without_a_password(app: Flask, client: Any, conn: Conn) -> None:
    guest = sign_in(app, conn, NAME)

    assert erase(client, guest).status_code == 204

    assert client.get("/users/me", headers=guest.headers).status_code == 401
    assert find_traces(conn, NAME) == []


def test_the_last_owner_gets_409_and_nothing_changes(app: Flask, client: Any, conn: Conn) -> None:
    staff = make_staff(app, conn)
    give_password(conn, staff.owner.id, PASSWORD, EMAIL)
    submit_scan(conn, staff.owner.id, make_code(conn), HERE)
    conn.execute(
        "INSERT INTO memberships SELECT id, %s, 'member' FROM organizations WHERE id <> %s",
        (staff.owner.id, staff.org_id),
    )
    before = client.get("/users/me", headers=staff.owner.headers).json

    response = erase(client, staff.owner, **KNOWN)

    assert response.status_code == 409
    assert str(staff.org_id) in response.json["detail"]
    assert client.get("/users/me", headers=staff.owner.headers).json == before
    assert conn.execute("SELECT count(*) FROM memberships WHERE player_id = %s", (staff.owner.id,)).fetchone() == (2,)
    assert {table for table, _ in find_traces(conn, "4.8926891")} == {"player_scans"}

    add_member(conn, staff.org_id, sign_in(app, conn).id, "owner")
    assert erase(client, staff.owner, **KNOWN).status_code == 204


def test_a_last_owner_deletes_or_offers_each_organization(app: Flask, client: Any, conn: Conn) -> None:
    """The second of three organizations has another owner, so it needs no choice."""
    kept, shared, offered = (make_staff(app, conn) for _ in range(3))
    for staff in (shared, offered):
        add_member(conn, staff.org_id, kept.owner.id, "owner")
    conn.execute("DELETE FROM memberships WHERE player_id = %s", (offered.owner.id,))
    choices = {str(kept.org_id): "delete", str(offered.org_id): str(offered.admin.id)}

    assert erase(client, kept.owner, organizations=choices).status_code == 204

    assert client.get(kept.codes, headers=kept.admin.headers).status_code == 410
    assert client.get(shared.codes, headers=shared.owner.headers).status_code == 200
    assert client.get(offered.codes, headers=offered.admin.headers).status_code == 200
    # No player becomes an owner without accepting.
    assert client.get(offered.path, headers=offered.admin.headers).json["role"] == "admin"
    (offer,) = client.get("/users/me/invitations", headers=offered.admin.headers).json["items"]
    assert (offer["role"], offer["org_id"], offer["invited_by"]) == ("owner", str(offered.org_id), None)

    assert client.post(f"{offer['url']}/accept", headers=offered.admin.headers).status_code == 200
    organization = client.get(offered.path, headers=offered.admin.headers).json
    assert (organization["role"], organization["closed_at"]) == ("owner", None)


def test_an_offered_organization_closes_unless_the_member_accepts(app: Flask, client: Any, conn: Conn) -> None:
    staff = make_staff(app, conn)
    choices = {str(staff.org_id): str(staff.member.id)}
    client.patch(f"{staff.path}/members/{staff.member.id}", json={"role": "owner"}, headers=staff.owner.headers)

    assert erase(client, staff.owner, organizations=choices).status_code == 204

    (offer,) = client.get("/users/me/invitations", headers=staff.member.headers).json["items"]
    organization = client.get(staff.path, headers=staff.admin.headers).json
    assert organization["closed_at"][:16] == offer["expires_at"][:16]
    assert client.post(f"{offer['url']}/decline", headers=staff.member.headers).status_code == 204
    assert client.get(staff.codes, headers=staff.admin.headers).status_code == 200
    conn.execute("UPDATE organizations SET closed_at = closed_at - interval '7 days'")
    assert client.get(staff.codes, headers=staff.admin.headers).status_code == 410


@pytest.mark.parametrize("choice", ["nonsense", "stranger", "owner", "other organization"])
def test_a_wrong_choice_is_422_and_nothing_changes(app: Flask, client: Any, conn: Conn, choice: str) -> None:
    staff, other = make_staff(app, conn), make_staff(app, conn)
    choices: dict[UUID, str] = {staff.org_id: "delete"}
    if choice == "other organization":
        choices[other.org_id] = "delete"
    else:
        choices[staff.org_id] = choice if choice == "nonsense" else str(staff[choice].id)

    response = erase(client, staff.owner, organizations={str(org_id): chosen for org_id, chosen in choices.items()})

    assert response.status_code == 422
    wrong = other if choice == "other organization" else staff
    assert response.json["errors"][0]["loc"] == f"body.organizations.{wrong.org_id}"
    assert client.get(staff.codes, headers=staff.owner.headers).status_code == 200
    assert conn.execute("SELECT count(*) FROM invitations").fetchone() == (0,)


def test_a_closed_organization_needs_no_choice(app: Flask, client: Any, conn: Conn) -> None:
    staff = make_staff(app, conn)
    conn.execute("UPDATE organizations SET closed_at = now()")

    assert erase(client, staff.owner).status_code == 204


def test_of_two_concurrent_erasures_of_owners_one_fails(app: Flask, conn: Conn) -> None:
    staff = make_staff(app, conn)
    other = sign_in(app, conn)
    add_member(conn, staff.org_id, other.id, "owner")

    responses = run_concurrently([partial(erase, app.test_client(), player) for player in (staff.owner, other)])

    assert sorted(response.status_code for response in responses) == [204, 409]
    assert conn.execute("SELECT count(*) FROM memberships WHERE role = 'owner'").fetchone() == (1,)


def test_an_api_key_cannot_scan_for_an_erased_player(app: Flask, client: Any, conn: Conn) -> None:
    staff, ada, new_key = make_staff(app, conn), sign_in(app, conn), NewApiKey.new()
    api_keys.add(conn, staff.org_id, new_key, name="kiosk", scopes=["scan"])
    body = {"player_id": str(ada.id), "qr_code": "spy123"}
    headers = {"Authorization": f"Bearer {new_key.text}"}
    assert client.post("/scan", json=body, headers=headers).status_code == 202

    erase(client, ada)

    assert client.post("/scan", json=body, headers=headers).status_code == 404


AFTER_ERASURE: dict[tuple[str, str], str] = {
    ("api_keys", "created_by"): "remains: an id without a name",
    ("audit_log", "player_id"): "remains, without address; for the player's own account also without old and new",
    ("credentials", "player_id"): "deleted",
    ("pending_erasures", "player_id"): "deleted when the erasure is finished",
    ("events", "player_id"): "remains: codes and times; texts of unknown codes are erased",
    ("generated_codes", "created_by"): "deleted with their images",
    ("idempotency_keys", "caller_id"): "deleted",
    ("idempotency_keys", "player_id"): "remains, with the generated name; deleted within 24 hours",
    ("encounter_attempts", "player_id"): "remains: rewards are owed per scan",
    ("inventory_ledger", "player_id"): "remains: balances are sums of entries",
    ("invitations", "player_id"): "deleted",
    ("invitations", "created_by"): "remains: an id without a name; revoked",
    ("memberships", "player_id"): "deleted; 409 for the last owner",
    ("external_identities", "player_id"): "deleted",
    ("player_scans", "player_id"): "remains: counts are made of scans; location, device time and nonce are erased",
    ("player_scans", "reviewed_by"): "remains: an id without a name",
    ("quest_claims", "player_id"): "remains: one claim for each completion",
    ("quest_events", "player_id"): "remains: states are folded from events, which hold no coordinates",
    ("quest_replay_checkpoints", "player_id"): "remains: the position of a replay",
    ("quest_states", "player_id"): "remains: equals the fold of the events",
    ("redemption_tokens", "player_id"): "deleted",
    ("redemptions", "player_id"): "remains: each is an entry of the ledger",
    ("redemptions", "confirmed_by"): "remains: an id without a name",
    ("sessions", "player_id"): "revoked; deleted after their expiry",
    ("render_jobs", "requested_by"): "set to null: the render belongs to the organization",
    ("scan_daily_players", "player_id"): "remains: players of a day are counted from it",
    ("scan_all_time_players", "player_id"): "remains: players are counted from it",
}


def test_every_column_with_a_player_id_has_a_rule(conn: Conn) -> None:
    assert player_columns(conn) <= AFTER_ERASURE.keys()
