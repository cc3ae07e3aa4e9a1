"""Who is erased is forgotten, and everything that others count on stays as it was."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from flask import Flask

from shared import db
from shared.accounts import erasing, store
from shared.audit import store as audit
from shared.audit.store import OPERATOR, Actor
from shared.db import Conn
from shared.organizations import keys
from shared.organizations.keys import Minted
from shared.quests import replaying
from shared.quests.replaying import Mark
from tests.accounts.life import EMAIL, HERE, NAME, TRACES, Life, found, keyed, live, naming_players
from tests.analytics.counting import counted, rolled_up
from tests.analytics.making import rebuild_all
from tests.build import hand_in, make_code, make_org
from tests.conftest import PASSWORD
from tests.people import Person, give_password, join, make_staff, sign_in
from tests.quests.playing import visit
from tests.racing import at_once, until_blocked
from tests.renders.making import make_render
from tests.stack.polling import eventually
from workers import scans as judging
from workers.accounts import forget_the_rest
from workers.scans import judge_pending

COUNTED = "id, qr_code_id, scan_time, status, reason, outcome, device"
KNOWN = {"current_password": PASSWORD}


@pytest.fixture
def life(app: Flask, conn: Conn) -> Life:
    return live(app, conn)


def erase(client: Any, person: Person, **body: Any) -> Any:
    return client.delete("/users/me", json=body, headers=person.headers)


def test_nothing_is_left_of_them_in_any_row_of_any_table(client: Any, conn: Conn, life: Life) -> None:
    assert {trace for _, trace in found(conn, *TRACES)} == set(TRACES)  # the search finds what is there
    conn.execute("UPDATE qr_codes SET latitude = 1, longitude = 1, destination_code = 'x'")  # these are the codes'

    assert erase(client, life.ada, **KNOWN).status_code == 204

    assert found(conn, *(trace for trace in TRACES if trace != "Lisbon")) == []
    assert found(conn, "Europe/Lisbon") == []
    assert conn.execute("SELECT place_code FROM players WHERE id = %s", (life.ada.id,)).fetchone() == (None,)


def test_nobody_gets_in_any_more_and_the_name_is_free(client: Any, conn: Conn, life: Life) -> None:
    other = client.post("/auth/login", json={"username": NAME, "password": PASSWORD}).json

    assert erase(client, life.ada, **KNOWN).status_code == 204

    for token in (life.ada.access_token, other["access_token"]):
        assert client.get("/users/me", headers={"Authorization": f"Bearer {token}"}).status_code == 401
    for token in (life.ada.refresh_token, other["refresh_token"]):
        assert client.post("/auth/refresh", headers={"Authorization": f"Bearer {token}"}).status_code == 401
    tombstone = db.one(conn.execute("SELECT username FROM players WHERE id = %s", (life.ada.id,)))[0]
    for username in (NAME, tombstone):
        refused = client.post("/auth/login", json={"username": username, "password": PASSWORD})
        assert (refused.status_code, refused.json["detail"]) == (401, "The username or the password is wrong.")
    members = f"{life.staff.path}/members"
    body = {"username": tombstone, "role": "member"}
    assert client.post(members, json=body, headers=life.staff.owner.headers).status_code == 422
    again = client.post("/auth/register", json={"username": NAME, "password": PASSWORD}, headers=keyed())
    assert again.status_code == 201
    assert again.json["player_id"] != str(life.ada.id)
    reasons = conn.execute("SELECT DISTINCT revoked_for FROM refresh_families WHERE player_id = %s", (life.ada.id,))
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
    assert [done.differences for done in replaying.replay(Mark(), player_id=life.ada.id)] == [[]]


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
    hand_in(conn, staff.owner.id, make_code(conn), HERE)
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

    join(conn, staff.org_id, sign_in(app, conn).id, "owner")
    assert erase(client, staff.owner, **KNOWN).status_code == 204


def test_of_two_owners_who_go_at_once_one_stays(app: Flask, conn: Conn) -> None:
    staff = make_staff(app, conn)
    other = sign_in(app, conn)
    join(conn, staff.org_id, other.id, "owner")

    answers = at_once([partial(erase, app.test_client(), who) for who in (staff.owner, other)])

    assert sorted(answer.status_code for answer in answers) == [204, 409]
    assert conn.execute("SELECT count(*) FROM memberships WHERE role = 'owner'").fetchone() == (1,)


def test_scans_beyond_those_of_the_request_are_forgotten_by_a_worker(
    app: Flask, client: Any, conn: Conn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasing, "AT_ONCE", 2)
    monkeypatch.setattr(erasing, "BATCH", 2)
    ada = sign_in(app, conn)
    code = make_code(conn, per_player_limit=None)
    for _ in range(7):
        visit(conn, ada.id, code, place=HERE)

    def left() -> Any:
        return db.one(conn.execute("SELECT count(*) FROM player_scans WHERE latitude IS NOT NULL"))[0]

    assert erase(client, ada).status_code == 204
    assert left() == 5
    forget_the_rest()
    assert left() == 0


def test_a_scan_that_waits_gets_its_one_verdict_and_leaves_nothing(app: Flask, client: Any, conn: Conn) -> None:
    ada = sign_in(app, conn)
    scan_id = hand_in(conn, ada.id, make_code(conn), HERE, accuracy_m=12.3456)

    erase(client, ada)
    judge_pending()

    assert conn.execute("SELECT status FROM player_scans WHERE id = %s", (scan_id,)).fetchone() == ("success",)
    assert conn.execute("SELECT count(*) FROM inventory_ledger").fetchone() == (1,)
    forget_the_rest()
    assert found(conn, "4.8926891", "12.3456") == []


def test_an_erasure_does_not_wait_for_a_worker_nor_a_worker_for_it(
    app: Flask, client: Any, conn: Conn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker holds the scan and wants its player, whom the erasure holds: who waited here would wait for ever."""
    ada = sign_in(app, conn)
    hand_in(conn, ada.id, make_code(conn, place=HERE), HERE, accuracy_m=12.3456)
    with ThreadPoolExecutor(1) as threads, db.transaction() as own:
        assert store.lock_account(own, ada.id) is not None
        judged = threads.submit(judging.judge_fresh)
        until_blocked(conn)
        erasing.erase(own, ada.id)
        own.execute("SAVEPOINT still_alive")
    assert judged.result(20) == 1
    assert conn.execute("SELECT status FROM player_scans").fetchone() == ("success",)
    forget_the_rest()
    assert found(conn, str(HERE.latitude) + "x", "12.3456") == []
    assert conn.execute("SELECT latitude, distance_m, facts FROM player_scans").fetchone() == (None, None, None)


def test_it_is_over_when_no_request_of_theirs_can_be_running_any_more(app: Flask, client: Any, conn: Conn) -> None:
    """Given a scan of theirs that had passed the gate before, and comes late."""
    ada = sign_in(app, conn)
    erase(client, ada)
    hand_in(conn, ada.id, make_code(conn), HERE)
    forget_the_rest()
    assert found(conn, "4.8926891") == []  # judged later, without
    assert erasing.unfinished(conn) == [ada.id]

    conn.execute("UPDATE erasures SET began_at = now() - interval '11 minutes'")
    forget_the_rest()
    assert erasing.unfinished(conn) == [ada.id]  # the scan waits for its verdict
    judge_pending()
    forget_the_rest()
    assert erasing.unfinished(conn) == []


def test_what_a_request_that_ran_on_has_stored_is_forgotten(app: Flask, client: Any, conn: Conn) -> None:
    """Given requests of theirs that had passed the gate before, and are committed after the erasure."""
    ada = sign_in(app, conn)
    erase(client, ada)
    conn.execute(
        """
        INSERT INTO generated_codes (maker, data, format, size, error_correction)
        VALUES (%s, 'text-by-ada', 'png', 300, 'M')
        """,
        (ada.id,),
    )
    render = make_render(conn, make_org(conn), make_code(conn))
    conn.execute("UPDATE render_jobs SET asked_by = %s WHERE id = %s", (ada.id, render))
    address = Actor("player", ada.id, "192.0.2.1", "request-of-ada")
    audit.record(conn, address, "organization.created", org_id=uuid4(), new={"name": "Museum"})

    forget_the_rest()

    assert found(conn, "text-by-ada", "192.0.2.1", "request-of-ada") == []
    assert conn.execute("SELECT asked_by FROM render_jobs").fetchone() == (None,)
    assert conn.execute("SELECT new FROM audit_log WHERE action = 'organization.created'").fetchone() == (
        {"name": "Museum"},
    )


def test_who_cannot_be_forgotten_yet_does_not_keep_the_others(
    app: Flask, client: Any, conn: Conn, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, grace = sign_in(app, conn), sign_in(app, conn)
    for person in (ada, grace):
        erase(client, person)
        hand_in(conn, person.id, make_code(conn), HERE)
    judge_pending()
    conn.execute("UPDATE erasures SET began_at = began_at - interval '11 minutes'")
    forget_traces = erasing.forget_traces

    def broken_for_ada(conn: Conn, player_id: UUID) -> None:
        if player_id == ada.id:
            raise psycopg.DataError
        forget_traces(conn, player_id)

    monkeypatch.setattr(erasing, "forget_traces", broken_for_ada)

    forget_the_rest()

    assert erasing.unfinished(conn) == [ada.id]


def test_answers_that_tell_of_them_are_found_by_an_index(app: Flask, client: Any, conn: Conn) -> None:
    """However many answers of others a day has; and of those that tell of somebody, only theirs are changed."""
    staff, ada = make_staff(app, conn), sign_in(app, conn, NAME)
    sign_in(app, conn, "grace")
    for name in (NAME, "grace"):
        body, headers = {"username": name, "role": "member"}, staff.owner.headers | keyed()
        assert client.post(f"{staff.path}/members", json=body, headers=headers).status_code == 201
    conn.execute(
        """
        INSERT INTO idempotency_keys (caller, key, digest, status, headers, answer)
        SELECT gen_random_uuid(), 'k', '', 201, '{}', '{"id": "' || n || '"}' FROM generate_series(1, 20000) n
        """
    )
    conn.execute("ANALYZE idempotency_keys")

    plan = conn.execute("EXPLAIN " + erasing.FORGET_ANSWERS, {"id": ada.id}).fetchall()
    erase(client, ada)

    assert "idempotency_keys_told" in str(plan)
    assert "Seq Scan on idempotency_keys" not in str(plan)
    assert found(conn, NAME) == []
    assert ("idempotency_keys", "grace") in found(conn, "grace")


def test_what_is_forgotten_already_is_not_written_again(client: Any, conn: Conn, life: Life) -> None:
    """The worker looks through it all once a minute."""

    def versions() -> list[Any]:
        return [
            conn.execute(f"SELECT xmin::text, {row} FROM {table} ORDER BY {row}").fetchall()
            for table, row in (("audit_log", "id"), ("events", "id"), ("player_scans", "id"))
        ]

    erase(client, life.ada, **KNOWN)
    before = versions()
    assert all(before)

    forget_the_rest()

    assert versions() == before


def waiting(conn: Conn) -> int:
    """How many sessions wait for a lock."""
    told = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return int(db.one(conn.execute(told))[0])


def test_people_who_acted_on_each_other_may_go_at_the_same_moment(app: Flask, conn: Conn) -> None:
    """Each has lines about the other. One of them has found some, and is held by a line that comes before those."""
    ada, grace = sign_in(app, conn), sign_in(app, conn)
    org_id = uuid4()
    audit.record(conn, OPERATOR, "login.revoked", org_id=None, object_id=ada.id, new={"logins": 1})
    for actor, other in ((ada, grace), (grace, ada)):
        by = Actor("player", actor.id, "192.0.2.1", "r")
        audit.record(conn, by, "member.added", org_id=org_id, object_id=other.id, new={"role": "owner"})
    with ThreadPoolExecutor(2) as threads:
        with db.transaction() as held:
            held.execute("SELECT FROM audit_log WHERE actor = 'operator' FOR NO KEY UPDATE")
            first = threads.submit(erase, app.test_client(), ada)
            until_blocked(conn)
            second = threads.submit(erase, app.test_client(), grace)
            eventually(lambda: second.done() or waiting(conn) == 2)
        assert [first.result(20).status_code, second.result(20).status_code] == [204, 204]
    assert found(conn, "192.0.2.1") == []


def test_a_key_cannot_act_for_them_any_more(app: Flask, client: Any, conn: Conn) -> None:
    staff, ada, minted = make_staff(app, conn), sign_in(app, conn), Minted.new()
    keys.add(conn, staff.org_id, minted, name="kiosk", scopes=["scan"])
    body = {"player_id": str(ada.id), "qr_code": "spy123"}
    headers = {"Authorization": f"Bearer {minted.text}"}
    assert client.post("/scan", json=body, headers=headers).status_code == 202

    erase(client, ada)

    assert client.post("/scan", json=body, headers=headers).status_code == 404


LOOKED_AFTER: dict[tuple[str, str], str] = {
    ("api_keys", "made_by"): "kept: an id without a name",
    ("audit_log", "player_id"): "kept, without address; of their own account also without old and new",
    ("credentials", "player_id"): "deleted",
    ("erasures", "player_id"): "that they are to be forgotten, until they are",
    ("events", "player_id"): "kept: they name codes and times; texts that were no code are taken out",
    ("generated_codes", "maker"): "deleted with their pictures",
    ("idempotency_keys", "caller"): "deleted",
    ("inventory_ledger", "player_id"): "kept: balances are its sums",
    ("memberships", "player_id"): "deleted; the last owner cannot go",
    ("outside_players", "player_id"): "deleted",
    ("player_scans", "player_id"): "kept: counts are made of them; how and where they were made is taken out",
    ("player_scans", "reviewed_by"): "kept: an id without a name",
    ("quest_claims", "player_id"): "kept: claimed once for each completion",
    ("quest_events", "player_id"): "kept: states are folded from them; they hold no positions",
    ("quest_replays", "player_id"): "how far a replay has come",
    ("quest_states", "player_id"): "kept: equal to the fold",
    ("refresh_families", "player_id"): "ended; deleted when they would have expired",
    ("render_jobs", "asked_by"): "taken out: the render is the organization's",
    ("scan_players", "player_id"): "kept: a day's players are counted from them",
    ("scan_players_ever", "player_id"): "kept: players are counted from them",
}


def test_every_column_that_names_a_player_is_thought_of(conn: Conn) -> None:
    assert naming_players(conn) <= LOOKED_AFTER.keys()
