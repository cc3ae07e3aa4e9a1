"""The list of a player's puzzles."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from flask import Flask

from shared.encounters.puzzle_list import SELECT_ANY, SELECT_OPEN
from shared.infra.db import Conn, exactly_one
from shared.infra.ids import HIGHEST
from tests.encounters.factories import RIGHT, WRONG, answer, close_puzzle, make_puzzle, open_puzzle
from tests.support.callers import SignedInPlayer, Staff, sign_in
from tests.support.factories import code_text, make_player, submit_scan
from workers.scans import judge_pending


@pytest.fixture
def ada(app: Flask, conn: Conn) -> SignedInPlayer:
    return sign_in(app, conn)


def read(client: Any, player: SignedInPlayer, query: str = "") -> list[dict[str, Any]]:
    response = client.get(f"/player/{player.id}/puzzles{query}", headers=player.headers)
    assert response.status_code == 200, response.text
    items: list[dict[str, Any]] = response.json["items"]
    return items


def test_puzzle_has_its_task_and_its_reward_once_solved(client: Any, conn: Conn, ada: SignedInPlayer) -> None:
    code, puzzle = make_puzzle(conn, description="Under the bridge", max_attempts=2, reward_quantity=3)
    scan_id = open_puzzle(conn, ada, code)
    answer(client, ada, puzzle, WRONG)

    (item,) = read(client, ada)

    closes_at = datetime.fromisoformat(item.pop("closes_at"))
    assert timedelta(hours=23) < closes_at - datetime.now(closes_at.tzinfo) < timedelta(hours=24)
    expected = {
        "scan_id": str(scan_id),
        "encounter_id": str(puzzle),
        "qr_code": code_text(conn, code),
        "description": "Under the bridge",
        "puzzle_type": "decryption",
        "difficulty_level": 3,
        "data": {"cipher": "bcd"},
        "attempts_left": 1,
        "solved": False,
        "solved_at": None,
        "reward": None,
        "quantity": None,
    }
    assert item == expected
    answer(client, ada, puzzle, RIGHT)
    (solved,) = read(client, ada)
    assert solved["solved_at"] is not None
    assert solved == expected | {
        "solved": True,
        "solved_at": solved["solved_at"],
        "closes_at": solved["closes_at"],
        "reward": "gem",
        "quantity": 3,
    }


def test_puzzle_without_a_limit_has_no_count_of_attempts(client: Any, conn: Conn, ada: SignedInPlayer) -> None:
    code, puzzle = make_puzzle(conn)
    open_puzzle(conn, ada, code)
    answer(client, ada, puzzle, WRONG)

    assert read(client, ada)[0]["attempts_left"] is None


def test_list_selects_open_puzzles_and_those_that_are_not(
    client: Any, conn: Conn, staff: Staff, ada: SignedInPlayer
) -> None:
    """One puzzle in each state. A held and an annulled scan have none. No other player sees them."""
    opened = {}
    for state in ("open", "solved", "exhausted", "over", "elsewhere", "annulled", "held"):
        org_id = None if state == "elsewhere" else staff.org_id
        code, puzzle = make_puzzle(conn, org_id, max_attempts=1)
        opened[state] = code, puzzle, open_puzzle(conn, ada, code)
    answer(client, ada, opened["solved"][1], RIGHT)
    answer(client, ada, opened["exhausted"][1], WRONG)
    close_puzzle(conn, opened["over"][2])
    conn.execute(
        "UPDATE organizations SET closed_at = now() WHERE id = (SELECT org_id FROM qr_codes WHERE id = %s)",
        (opened["elsewhere"][0],),
    )
    conn.execute("UPDATE player_scans SET status = 'annulled' WHERE id = %s", (opened["annulled"][2],))
    conn.execute("ALTER TABLE player_scans DISABLE TRIGGER player_scans_guard_verdict")
    conn.execute("UPDATE player_scans SET status = 'held', reason = 'burst' WHERE id = %s", (opened["held"][2],))
    conn.execute("ALTER TABLE player_scans ENABLE TRIGGER player_scans_guard_verdict")
    stranger = sign_in(client.application, conn)
    names = {str(scan_id): state for state, (_, _, scan_id) in opened.items()}

    listed = {query: [names[item["scan_id"]] for item in read(client, ada, query)] for query in QUERIES}

    assert listed == QUERIES
    assert read(client, stranger) == []


QUERIES = {
    "": ["elsewhere", "over", "exhausted", "solved", "open"],
    "?open=true": ["open"],
    "?open=false": ["elsewhere", "over", "exhausted", "solved"],
}


@pytest.mark.parametrize("query", ["", "&open=true"])
def test_pages_are_newest_first_and_complete(client: Any, conn: Conn, ada: SignedInPlayer, query: str) -> None:
    code, _ = make_puzzle(conn, per_player_limit=None)
    scans = sorted(str(submit_scan(conn, ada.id, code)) for _ in range(5))
    judge_pending()
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = client.get(f"/player/{ada.id}/puzzles?limit=2{query}{cursor}", headers=ada.headers).json
        assert len(page["items"]) <= 2
        found += [item["scan_id"] for item in page["items"]]
        cursor = f"&cursor={page['next_cursor']}" if page["next_cursor"] else None
    assert found == scans[::-1]


@pytest.mark.parametrize("query", ["open=maybe", "cursor=!", "limit=0"])
def test_invalid_query_is_422(client: Any, ada: SignedInPlayer, query: str) -> None:
    response = client.get(f"/player/{ada.id}/puzzles?{query}", headers=ada.headers)
    assert response.status_code == 422
    assert response.json["errors"][0]["loc"] == f"query.{query.split('=', maxsplit=1)[0]}"


def test_page_reads_the_players_own_range(conn: Conn, staff: Staff) -> None:
    """A player with 3,000 closed puzzles and 60 open ones, among as many of another."""
    code, puzzle = make_puzzle(conn, staff.org_id)
    player, other = make_player(conn), make_player(conn)
    conn.execute("ALTER TABLE player_scans DISABLE TRIGGER player_scans_append_events")
    conn.execute(
        """
        WITH scans AS (
            INSERT INTO player_scans (player_id, qr_code_id, org_id, qr_code, status, settled_at)
            SELECT (ARRAY[%s, %s]::uuid[])[1 + n %% 2], %s, %s, 'x', 'success', now() FROM generate_series(1, 6000) n
            RETURNING id, player_id
        )
        INSERT INTO encounter_attempts (scan_id, player_id, encounter_id, answer_within, closes_at)
        SELECT id, player_id, %s, '1 day', now() + interval '1 day' * (row_number() OVER () <= 120)::integer
        FROM scans
        """,
        (player, other, code, staff.org_id, puzzle),
    )
    conn.execute("ALTER TABLE player_scans ENABLE TRIGGER player_scans_append_events")
    conn.execute("VACUUM ANALYZE player_scans, encounter_attempts")
    for select, index, rows, values in (
        (SELECT_ANY, "encounter_attempts_list", 50, {"only_closed": False}),
        (SELECT_OPEN, "encounter_attempts_open", 60, {}),
    ):
        plan = exactly_one(
            conn.execute(
                "EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) " + select,
                {"player_id": player, "before": HIGHEST, "limit": 50} | values,
            )
        )[0][0]["Plan"]
        reads = [node for node in walk(plan) if node.get("Index Name") == index]
        assert [node["Actual Rows"] for node in reads] == [rows], plan
        assert not [node for node in walk(plan) if node["Node Type"] == "Seq Scan" and node["Actual Rows"] > 100]


def walk(node: dict[str, Any]) -> list[dict[str, Any]]:
    return [node, *(inner for child in node.get("Plans", ()) for inner in walk(child))]
