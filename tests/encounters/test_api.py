"""Puzzles over HTTP: for players who scanned their code, paid once, and without revealing the solution."""

import logging
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask import Flask

from shared.infra.db import Conn
from tests.encounters.factories import RIGHT, WRONG, answer, balance, close_puzzle, make_puzzle, open_puzzle
from tests.support.callers import SignedInPlayer, Staff, sign_in
from tests.support.factories import AMSTERDAM, LISBON, issuer_of, list_items, make_code, make_org, submit_scan
from workers.scans import judge_pending


@pytest.fixture
def ada(app: Flask, conn: Conn) -> SignedInPlayer:
    return sign_in(app, conn)


def test_right_answer_pays_the_reward_and_appends_events(client: Any, conn: Conn, ada: SignedInPlayer) -> None:
    code, puzzle = make_puzzle(conn, reward_quantity=3)
    scan_id, issuer = open_puzzle(conn, ada, code), issuer_of(conn, code)

    response = answer(client, ada, puzzle, "Open  SESAME")

    gems = {"reward": "gem", "quantity": 3, "org_id": issuer}
    assert (response.status_code, response.json) == (200, {"solved": True, **gems})
    assert list_items(conn, ada.id) == [("gem", 3)]
    events = conn.execute(
        "SELECT type, data FROM events WHERE player_id = %s AND org_id IS NOT NULL ORDER BY id OFFSET 2", (ada.id,)
    ).fetchall()
    paid = {"scan_id": str(scan_id), "encounter_id": str(puzzle), **gems}
    row = conn.execute("SELECT code FROM qr_codes WHERE id = %s", (code,)).fetchone()
    assert row is not None
    assert events == [("encounter_solved", paid | {"qr_code": row[0]}), ("reward_granted", paid)]


def test_answer_after_the_solution_repeats_the_response(client: Any, conn: Conn, ada: SignedInPlayer) -> None:
    code, puzzle = make_puzzle(conn, max_attempts=2)
    open_puzzle(conn, ada, code)
    first = answer(client, ada, puzzle)
    conn.execute("UPDATE qr_codes SET reward_item = 'other', reward_quantity = 9")

    for text in (RIGHT, WRONG, RIGHT, WRONG, WRONG):
        again = answer(client, ada, puzzle, text)
        assert (again.status_code, again.json) == (200, first.json)
    assert balance(conn, ada.id) == 1


def test_answer_without_attempts_left_is_409(client: Any, conn: Conn, ada: SignedInPlayer) -> None:
    code, puzzle = make_puzzle(conn, max_attempts=2)
    open_puzzle(conn, ada, code)

    assert answer(client, ada, puzzle, WRONG).json == {"solved": False, "attempts_left": 1}
    assert answer(client, ada, puzzle, WRONG).json == {"solved": False, "attempts_left": 0}
    response = answer(client, ada, puzzle, RIGHT)
    assert (response.status_code, response.content_type) == (409, "application/problem+json")
    assert balance(conn, ada.id) == 0


def test_puzzle_without_a_limit_accepts_any_number_of_answers(client: Any, conn: Conn, ada: SignedInPlayer) -> None:
    code, puzzle = make_puzzle(conn)
    open_puzzle(conn, ada, code)
    for _ in range(5):
        assert answer(client, ada, puzzle, WRONG).json == {"solved": False, "attempts_left": None}
    assert answer(client, ada, puzzle).json["solved"] is True


def test_puzzle_without_a_reward_can_be_solved(client: Any, conn: Conn, ada: SignedInPlayer) -> None:
    code, puzzle = make_puzzle(conn, reward_item=None, reward_quantity=None)
    open_puzzle(conn, ada, code)
    for _ in range(2):
        assert answer(client, ada, puzzle).json == {
            "solved": True,
            "reward": None,
            "quantity": None,
            "org_id": None,
        }
    assert conn.execute("SELECT type FROM events ORDER BY id DESC LIMIT 1").fetchone() == ("encounter_solved",)


@pytest.mark.parametrize("solution", [None, "\u200b "])
def test_puzzle_without_a_solution_costs_no_attempt(
    client: Any, conn: Conn, ada: SignedInPlayer, solution: str | None
) -> None:
    code, puzzle = make_puzzle(conn, solution=solution, max_attempts=1)
    open_puzzle(conn, ada, code)
    for _ in range(3):
        assert answer(client, ada, puzzle, " ").status_code == 409
    conn.execute("UPDATE encounters SET solution = %s", (RIGHT,))
    assert answer(client, ada, puzzle).json["solved"] is True


def test_puzzle_needs_a_successful_scan(app: Flask, client: Any, conn: Conn, ada: SignedInPlayer) -> None:
    org = make_org(conn)
    code, puzzle = make_puzzle(conn, org, per_player_limit=None)
    grace = sign_in(app, conn)
    submit_scan(conn, grace.id, make_code(conn, org), LISBON)
    open_puzzle(conn, ada, code)
    held = submit_scan(conn, grace.id, code, AMSTERDAM)
    judge_pending()
    assert conn.execute("SELECT status FROM player_scans WHERE id = %s", (held,)).fetchone() == ("held",)

    assert answer(client, grace, puzzle).status_code == 403
    conn.execute("UPDATE player_scans SET status = 'annulled', reason = NULL WHERE id = %s", (held,))
    assert answer(client, grace, puzzle).status_code == 403
    assert answer(client, sign_in(app, conn), puzzle).status_code == 403
    assert answer(client, ada, uuid4()).status_code == 404
    assert client.post(f"/encounters/{puzzle}/solve", json={"answer": RIGHT}).status_code == 401
    assert client.post("/encounters/1/solve", json={"answer": RIGHT}, headers=ada.headers).status_code == 404
    # The reward of the scan in Lisbon.
    assert conn.execute("SELECT count(*) FROM inventory_ledger").fetchone() == (1,)


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        ({}, "body.answer"),
        ({"answer": ""}, "body.answer"),
        ({"answer": "a" * 1_001}, "body.answer"),
        ({"answer": 42}, "body.answer"),
        ({"answer": None}, "body.answer"),
        ({"answer": ["open"]}, "body.answer"),
        ({"answer": "a\x00b"}, "body.answer"),
        ({"answer": RIGHT, "solved": True}, "body.solved"),
    ],
)
def test_invalid_answer_costs_no_attempt(
    client: Any, conn: Conn, ada: SignedInPlayer, body: dict[str, Any], loc: str
) -> None:
    code, puzzle = make_puzzle(conn, max_attempts=1)
    open_puzzle(conn, ada, code)
    response = client.post(f"/encounters/{puzzle}/solve", json=body, headers=ada.headers)
    assert response.status_code == 422
    assert [error["loc"] for error in response.json["errors"]] == [loc]
    assert answer(client, ada, puzzle, "x" * 1_000).json == {"solved": False, "attempts_left": 0}


def test_each_scan_opens_the_puzzle_once(client: Any, conn: Conn, ada: SignedInPlayer) -> None:
    code, puzzle = make_puzzle(conn, per_player_limit=3, max_attempts=1)
    for _ in range(2):
        open_puzzle(conn, ada, code)
    assert answer(client, ada, puzzle).json["solved"] is True
    assert answer(client, ada, puzzle).json["solved"] is True
    assert balance(conn, ada.id) == 2
    # No scan is open: the last response is repeated.
    assert answer(client, ada, puzzle, WRONG).json["solved"] is True
    open_puzzle(conn, ada, code)
    assert answer(client, ada, puzzle, WRONG).json == {"solved": False, "attempts_left": 0}
    solved = {"solved": True, "reward": "gem", "quantity": 1, "org_id": issuer_of(conn, code)}
    assert answer(client, ada, puzzle, RIGHT).json == solved
    assert balance(conn, ada.id) == 2


def test_last_solution_is_repeated_if_a_later_scan_has_no_attempts_left(
    client: Any, conn: Conn, ada: SignedInPlayer
) -> None:
    code, puzzle = make_puzzle(conn, per_player_limit=None, max_attempts=1)
    for quantity in (1, 2):
        conn.execute("UPDATE qr_codes SET reward_quantity = %s", (quantity,))
        open_puzzle(conn, ada, code)
        first = answer(client, ada, puzzle).json
    open_puzzle(conn, ada, code)
    assert answer(client, ada, puzzle, WRONG).json == {"solved": False, "attempts_left": 0}
    solved = {"solved": True, "reward": "gem", "quantity": 2, "org_id": issuer_of(conn, code)}
    for text in (RIGHT, WRONG):
        assert answer(client, ada, puzzle, text).json == first == solved
    assert balance(conn, ada.id) == 3


def test_retried_wrong_answer_costs_one_attempt(client: Any, conn: Conn, ada: SignedInPlayer) -> None:
    code, puzzle = make_puzzle(conn, max_attempts=3)
    open_puzzle(conn, ada, code)
    bodies = [answer(client, ada, puzzle, WRONG, key="lost").json for _ in range(4)]
    assert bodies == [{"solved": False, "attempts_left": 2}] * 4
    assert answer(client, ada, puzzle, RIGHT, key="lost").status_code == 422
    assert answer(client, ada, puzzle, WRONG, key="another").json == {"solved": False, "attempts_left": 1}


@pytest.mark.parametrize("text", [RIGHT, WRONG])
def test_late_retry_does_not_answer_for_another_scan(client: Any, conn: Conn, ada: SignedInPlayer, text: str) -> None:
    code, puzzle = make_puzzle(conn, per_player_limit=None, max_attempts=1)
    open_puzzle(conn, ada, code)
    first = answer(client, ada, puzzle, text, key="lost").json
    open_puzzle(conn, ada, code)
    assert answer(client, ada, puzzle, text, key="lost").json == first
    before = balance(conn, ada.id)
    # The second scan is still open.
    assert answer(client, ada, puzzle).json["solved"] is True
    assert balance(conn, ada.id) == before + 1


# Puzzles that change ------------------------------------------------------------------------------------------------


@pytest.fixture
def change(client: Any, staff: Staff) -> Any:
    def patch(code: UUID, **fields: Any) -> None:
        response = client.patch(f"{staff.codes}/{code}", json=fields, headers=staff.admin.headers)
        assert response.status_code == 200, response.text

    return patch


PUZZLE = {"puzzle_type": "hacking", "difficulty_level": 9, "solution": "xyzzy", "max_attempts": 5}


def test_changed_code_changes_no_puzzle_that_is_open(
    client: Any, conn: Conn, staff: Staff, ada: SignedInPlayer, change: Any
) -> None:
    """Reward, attempts, time and solution are those of the scan, also without the puzzle."""
    code, puzzle = make_puzzle(conn, staff.org_id, max_attempts=2, per_player_limit=None)
    for _ in range(2):
        open_puzzle(conn, ada, code)
    raised = {"item": "crown", "quantity": 9}
    change(code, encounter=PUZZLE, reward=raised, answer_within_hours=0.0001, active=False)
    assert answer(client, ada, puzzle, WRONG).json == {"solved": False, "attempts_left": 1}
    gem = {"solved": True, "reward": "gem", "quantity": 1, "org_id": str(staff.org_id)}
    assert answer(client, ada, puzzle, RIGHT).json == gem

    change(code, encounter=None, scan_type="item_drop")
    assert answer(client, ada, puzzle, RIGHT).json == gem
    assert list_items(conn, ada.id) == [("gem", 2)]


@pytest.mark.parametrize("text", [RIGHT, "xyzzy"])
def test_corrected_solution_counts_beside_the_first(
    client: Any, conn: Conn, staff: Staff, ada: SignedInPlayer, change: Any, text: str
) -> None:
    code, puzzle = make_puzzle(conn, staff.org_id)
    open_puzzle(conn, ada, code)
    change(code, encounter=PUZZLE)
    assert answer(client, ada, puzzle, "neither").json["solved"] is False
    assert answer(client, ada, puzzle, text).json["solved"] is True


def test_replaced_puzzle_pays_no_scan_twice(
    client: Any, conn: Conn, staff: Staff, ada: SignedInPlayer, change: Any
) -> None:
    code, puzzle = make_puzzle(conn, staff.org_id)
    open_puzzle(conn, ada, code)
    first = answer(client, ada, puzzle).json
    change(code, encounter=PUZZLE)
    assert answer(client, ada, puzzle, "xyzzy").json == first

    change(code, encounter=None)
    assert answer(client, ada, puzzle).json == first
    # A new puzzle with a new id, which no scan has opened.
    change(code, encounter=PUZZLE)
    row = conn.execute("SELECT id FROM encounters WHERE qr_code_id = %s", (code,)).fetchone()
    assert row is not None
    assert row[0] != puzzle
    assert answer(client, ada, row[0], "xyzzy").status_code == 403
    assert balance(conn, ada.id) == 1


def test_unanswered_puzzle_closes(client: Any, conn: Conn, ada: SignedInPlayer) -> None:
    code, puzzle = make_puzzle(conn, per_player_limit=None, answer_within_hours=1.5)
    solved, unsolved = (open_puzzle(conn, ada, code) for _ in range(2))
    first = answer(client, ada, puzzle).json
    assert within(conn, unsolved) == within(conn, solved) == timedelta(hours=1.5)
    close_puzzle(conn, unsolved)

    # The response to the solution is repeated. The other puzzle is not paid.
    assert answer(client, ada, puzzle).json == first
    assert balance(conn, ada.id) == 1
    close_puzzle(conn, solved)
    assert answer(client, ada, puzzle).json == first
    conn.execute("UPDATE encounter_attempts SET solved_at = NULL")
    response = answer(client, ada, puzzle, key="late")
    assert (response.status_code, response.json["detail"]) == (410, "The time to answer this puzzle is over.")
    open_puzzle(conn, ada, code)
    assert answer(client, ada, puzzle).json["solved"] is True


def test_time_of_a_held_scan_begins_with_its_release(
    client: Any, conn: Conn, staff: Staff, ada: SignedInPlayer
) -> None:
    code, puzzle = make_puzzle(conn, staff.org_id)
    submit_scan(conn, ada.id, make_code(conn, staff.org_id), LISBON)
    held = submit_scan(conn, ada.id, code, AMSTERDAM)
    judge_pending()
    conn.execute("UPDATE player_scans SET settled_at = now() - interval '3 days' WHERE id = %s", (held,))
    assert answer(client, ada, puzzle).status_code == 403

    released = client.post(f"{staff.path}/scans/{held}/release", headers=staff.admin.headers)

    assert released.status_code == 200
    assert timedelta(hours=23.9) < within(conn, held) - timedelta(days=3) < timedelta(hours=24.1)
    assert answer(client, ada, puzzle).json["solved"] is True


def within(conn: Conn, scan_id: UUID) -> timedelta:
    """Return for how long after its verdict the puzzle of a scan is open."""
    row = conn.execute(
        """
        SELECT a.closes_at - s.settled_at FROM encounter_attempts a JOIN player_scans s ON s.id = a.scan_id
        WHERE s.id = %s
        """,
        (scan_id,),
    ).fetchone()
    assert row is not None
    assert isinstance(row[0], timedelta)
    return row[0]


def test_scan_paid_as_an_item_drop_opens_no_puzzle(
    client: Any, conn: Conn, staff: Staff, ada: SignedInPlayer, change: Any
) -> None:
    code = make_code(conn, staff.org_id)
    submit_scan(conn, ada.id, code)
    judge_pending()
    change(code, scan_type="encounter", encounter=PUZZLE)
    row = conn.execute("SELECT id FROM encounters").fetchone()
    assert row is not None
    assert answer(client, ada, row[0], "xyzzy").status_code == 403
    assert balance(conn, ada.id) == 1


def test_puzzle_of_a_deleted_code_can_be_solved(client: Any, conn: Conn, staff: Staff, ada: SignedInPlayer) -> None:
    code, puzzle = make_puzzle(conn, staff.org_id)
    open_puzzle(conn, ada, code)
    assert client.delete(f"{staff.codes}/{code}", headers=staff.admin.headers).status_code == 204
    assert answer(client, ada, puzzle).json["solved"] is True


@pytest.mark.parametrize("kind", ["decryption", "pattern"])
def test_solution_that_is_empty_when_normalized_is_422(client: Any, staff: Staff, kind: str) -> None:
    puzzle = {"puzzle_type": kind, "difficulty_level": 1, "solution": " \t"}
    body = {"scan_type": "encounter", "encounter": puzzle}
    response = client.post(staff.codes, json=body, headers=staff.admin.headers)
    assert response.status_code == 422
    assert response.json["errors"][0]["loc"] == "body.encounter.solution"


# Secrets ------------------------------------------------------------------------------------------------------------

SECRET = "the-secret-solution"


def test_no_response_event_or_log_entry_holds_the_solution(
    client: Any, conn: Conn, staff: Staff, ada: SignedInPlayer, capfd: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Reads every response for players and staff below admin, the stored responses, the event log and the logs."""
    caplog.set_level(logging.DEBUG)
    puzzle = {"puzzle_type": "hacking", "difficulty_level": 2, "solution": SECRET, "max_attempts": 3}
    created = client.post(
        staff.codes,
        json={"code": "vault", "scan_type": "encounter", "encounter": puzzle},
        headers=staff.admin.headers,
    )
    assert created.json["encounter"]["solution"] == SECRET
    code, encounter = created.json["id"], created.json["encounter"]["id"]
    scan_id = open_puzzle(conn, ada, UUID(code))

    texts = [answer(client, ada, encounter, text, key=str(n)).text for n, text in enumerate((WRONG, SECRET, WRONG))]
    assert '"solved":true' in texts[1].replace(" ", "")
    reads = [(path, ada) for path in (f"/scan/{scan_id}", f"/player/{ada.id}/history", "/qr/vault")]
    reads += [(path, staff[role]) for role in ("analyst", "member") for path in (staff.codes, f"{staff.codes}/{code}")]
    for path, reader in reads:
        response = client.get(path, headers=reader.headers)
        assert response.status_code == 200
        texts.append(response.text)
    for statement in (
        "SELECT data FROM events",
        "SELECT outcome, request_id FROM player_scans",
        "SELECT * FROM idempotency_keys",
    ):
        rows = conn.execute(statement).fetchall()
        assert rows, statement
        texts += map(str, rows)
    texts += [*capfd.readouterr(), caplog.text]

    assert not [text for text in texts if SECRET in text]
