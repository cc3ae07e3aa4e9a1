"""Who is erased is forgotten, and everything that others count on stays as it was."""

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
    found,
    keyed,
    live,
    naming_players,
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


def test_nothing_is_left_of_them_in_any_row_of_any_table(client: Any, conn: Conn, life: Life) -> None:
    assert {trace for _, trace in found(conn, *TRACES)} == set(TRACES)  # the search finds what is there
    conn.execute("UPDATE qr_codes SET latitude = 1, longitude = 1, destination_code = 'x'")  # these are the codes'

    assert erase(client, life.ada, **KNOWN).status_code == 204

    assert found(conn, *(trace for trace in TRACES if trace != "Lisbon")) == []
    assert found(conn, "Europe/Lisbon") == []
    assert conn.execute("SELECT location_code FROM players WHERE id = %s", (life.ada.id,)).fetchone() == (None,)


def test_nobody_gets_in_any_more_and_the_name_is_free(client: Any, conn: Conn, life: Life) -> None:
    other = client.post("/auth/login", json={"username": NAME, "password": PASSWORD}).json

    assert erase(client, life.ada, **KNOWN).status_code == 204

    for token in (life.ada.access_token, other["access_token"]):
        assert client.get("/users/me", headers={"Authorization": f"Bearer {token}"}).status_code == 401
    for token in (life.ada.refresh_token, other["refresh_token"]):
        assert client.post("/auth/refresh", headers={"Authorization": f"Bearer {token}"}).status_code == 401
    tombstone = db.exactly_one(conn.execute("SELECT username FROM players WHERE id = %s", (life.ada.id,)))[0]
    for username in (NAME, tombstone):
        refused = client.post("/auth/login", json={"username": username, "password": PASSWORD})
        assert (refused.status_code, refused.json["detail"]) == (401, "The username or the password is wrong.")
    members = f"{life.staff.path}/members"
    body = {"username": tombstone, "role": "member"}
    assert client.post(members, json=body, headers=life.staff.owner.headers).status_code == 422
    again = client.post("/auth/register", json={"username": NAME, "password": PASSWORD}, headers=keyed())
    assert again.status_code == 201
    assert again.json["player_id"] != str(life.ada.id)
    reasons = conn.execute("SELECT DISTINCT revoked_reason FROM sessions WHERE player_id = %s", (life.ada.id,))
    assert reasons.fetchall() == [("erased",)]


def test_what_others_count_on_stays(client: Any, conn: Conn, life: Life) -> None:
    def kept() -> list[Any]:
        return [
            conn.execute(statement, (life.ada.id,)).fetchall()
            for statement in (
                f"SELECT {COUNTED} FROM player_scans WHERE player_id = %s ORDER BY id",
                "SELECT * FROM inventory_ledger WHERE player_id = %s ORDER BY id",
                "SELECT * FROM quest_events WHERE player_id = %s ORDER BY id",
                "SELECT * FROM quest_states WHERE player_id = %s",
                "SELECT * FROM quest_claims WHERE player_id = %s",
                "SELECT xid, id, type, data - 'qr_code' FROM events WHERE player_id = %s ORDER BY xid, id",
            )
        ]

    before, counts = kept(), counted(conn)
    assert all(before)

    erase(client, life.ada, **KNOWN)

    assert kept() == before
    assert counted(conn) == counts
    assert rolled_up(conn) == counts
    rebuild_all(conn)
    assert rolled_up(conn) == counts
    assert [done.differences for done in replay.replay(ReplayCheckpoint(), player_id=life.ada.id)] == [[]]


def test_staff_see_a_made_up_name_and_may_still_decide(client: Any, conn: Conn, life: Life) -> None:
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
        UUID(m["player_id"]) for m in client.get(f"{life.staff.path}/members", headers=headers).json["items"]
    }


@pytest.mark.parametrize(
    ("body", "status"),
    [({}, 422), ({"current_password": None}, 422), ({"current_password": "guess"}, 403), ({"password": PASSWORD}, 422)],
)
def test_an_account_is_erased_by_who_knows_its_password(
    app: Flask, client: Any, conn: Conn, body: dict[str, Any], status: int
) -> None:
    ada = sign_in(app, conn, NAME)
    give_password(conn, ada.id, PASSWORD, EMAIL)

    assert erase(client, ada, **body).status_code == status

    assert client.get("/users/me", headers=ada.headers).json["email"] == EMAIL


def test_a_guest_has_no_password_to_say(app: Flask, client: Any, conn: Conn) -> None:
    guest = sign_in(app, conn, NAME)

    assert erase(client, guest).status_code == 204

    assert client.get("/users/me", headers=guest.headers).status_code == 401
    assert found(conn, NAME) == []


def test_the_last_owner_stays_and_nothing_is_done(app: Flask, client: Any, conn: Conn) -> None:
    staff = make_staff(app, conn)
    give_password(conn, staff.owner.id, PASSWORD, EMAIL)
    submit_scan(conn, staff.owner.id, make_code(conn), HERE)
    conn.execute(
        "INSERT INTO memberships SELECT id, %s, 'member' FROM organizations WHERE id <> %s",
        (staff.owner.id, staff.org_id),
    )
    before = client.get("/users/me", headers=staff.owner.headers).json

    refused = erase(client, staff.owner, **KNOWN)

    assert refused.status_code == 409
    assert str(staff.org_id) in refused.json["detail"]
    assert client.get("/users/me", headers=staff.owner.headers).json == before
    assert conn.execute("SELECT count(*) FROM memberships WHERE player_id = %s", (staff.owner.id,)).fetchone() == (2,)
    assert {table for table, _ in found(conn, "4.8926891")} == {"player_scans"}

    add_member(conn, staff.org_id, sign_in(app, conn).id, "owner")
    assert erase(client, staff.owner, **KNOWN).status_code == 204


def test_of_two_owners_who_go_at_once_one_stays(app: Flask, conn: Conn) -> None:
    staff = make_staff(app, conn)
    other = sign_in(app, conn)
    add_member(conn, staff.org_id, other.id, "owner")

    answers = run_concurrently([partial(erase, app.test_client(), who) for who in (staff.owner, other)])

    assert sorted(answer.status_code for answer in answers) == [204, 409]
    assert conn.execute("SELECT count(*) FROM memberships WHERE role = 'owner'").fetchone() == (1,)


def test_a_key_cannot_act_for_them_any_more(app: Flask, client: Any, conn: Conn) -> None:
    staff, ada, minted = make_staff(app, conn), sign_in(app, conn), NewApiKey.new()
    api_keys.add(conn, staff.org_id, minted, name="kiosk", scopes=["scan"])
    body = {"player_id": str(ada.id), "qr_code": "spy123"}
    headers = {"Authorization": f"Bearer {minted.text}"}
    assert client.post("/scan", json=body, headers=headers).status_code == 202

    erase(client, ada)

    assert client.post("/scan", json=body, headers=headers).status_code == 404


LOOKED_AFTER: dict[tuple[str, str], str] = {
    ("api_keys", "created_by"): "kept: an id without a name",
    ("audit_log", "player_id"): "kept, without address; of their own account also without old and new",
    ("credentials", "player_id"): "deleted",
    ("pending_erasures", "player_id"): "that they are to be forgotten, until they are",
    ("events", "player_id"): "kept: they name codes and times; texts that were no code are taken out",
    ("generated_codes", "created_by"): "deleted with their pictures",
    ("idempotency_keys", "caller_id"): "deleted",
    ("idempotency_keys", "player_id"): "kept: the answer names them by their new name; deleted within a day",
    ("inventory_ledger", "player_id"): "kept: balances are its sums",
    ("memberships", "player_id"): "deleted; the last owner cannot go",
    ("external_identities", "player_id"): "deleted",
    ("player_scans", "player_id"): "kept: counts are made of them; how and where they were made is taken out",
    ("player_scans", "reviewed_by"): "kept: an id without a name",
    ("quest_claims", "player_id"): "kept: claimed once for each completion",
    ("quest_events", "player_id"): "kept: states are folded from them; they hold no positions",
    ("quest_replay_checkpoints", "player_id"): "how far a replay has come",
    ("quest_states", "player_id"): "kept: equal to the fold",
    ("sessions", "player_id"): "ended; deleted when they would have expired",
    ("render_jobs", "requested_by"): "taken out: the render is the organization's",
    ("scan_daily_players", "player_id"): "kept: a day's players are counted from them",
    ("scan_all_time_players", "player_id"): "kept: players are counted from them",
}


def test_every_column_that_names_a_player_is_thought_of(conn: Conn) -> None:
    assert naming_players(conn) <= LOOKED_AFTER.keys()
