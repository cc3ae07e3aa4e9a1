"""What a player reads about their scans and codes: history, inventory, public codes."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from shared.infra.db import Conn
from shared.scans.store import SELECT_HISTORY
from tests.conftest import Player
from tests.support.factories import AMSTERDAM, make_code, make_encounter, make_org, make_player
from workers.scans import judge_pending


@pytest.fixture
def post(client: Any, player: Player) -> Callable[..., Any]:
    """Submit a scan as the player: `post(scanned_at="…")`."""

    def send(**fields: Any) -> Any:
        body = {"player_id": str(player.id), "qr_code": "spy123"} | fields
        return client.post("/scan", json=body, headers=player.headers)

    return send


def test_history_pages_are_newest_first_and_complete(client: Any, player: Player, conn: Conn, post: Any) -> None:
    make_code(conn, code="spy123")
    moment = datetime.now(UTC) - timedelta(hours=1)
    settled = [post(scanned_at=(moment + timedelta(seconds=k // 2)).isoformat()).json["scan_id"] for k in range(7)]
    judge_pending()
    pending = post().json["scan_id"]

    scans, cursor = [], ""
    while cursor is not None:
        page = client.get(f"/player/{player.id}/history?limit=3&cursor={cursor}", headers=player.headers).json
        assert len(page["scans"]) <= 3
        scans += page["scans"]
        cursor = page["next_cursor"]
    assert scans[0] == {
        "scan_id": pending,
        "qr_code": "spy123",
        "scan_time": scans[0]["scan_time"],
        "success": None,
        "status": "pending",
        "reason": None,
        "description": "",
        "reward": None,
        "quantity": None,
    }
    assert {entry["scan_id"] for entry in scans} == {pending, *settled}
    assert len(scans) == 8
    assert [e["scan_time"] for e in scans] == sorted((e["scan_time"] for e in scans), reverse=True)
    assert sorted((e["success"], e["reason"] or "") for e in scans[1:]) == [(False, "player_limit")] * 6 + [(True, "")]


def test_history_has_what_each_scan_gave(client: Any, player: Player, conn: Conn, post: Any) -> None:
    """A scan, a puzzle before and after its solution, a failure, an unknown code, an annulled scan."""
    make_code(conn, code="drop", description="Gate", reward_quantity=3)
    encounters = [
        make_encounter(conn, make_code(conn, code=code, scan_type="encounter", reward_item="lamp"))
        for code in ("open", "solved")
    ]
    make_code(conn, code="annulled")
    for code in ("drop", "open", "solved", "drop", "unknown", "annulled"):
        post(qr_code=code)
        judge_pending()
    solve = {"json": {"answer": "open sesame"}, "headers": player.headers}
    assert client.post(f"/encounters/{encounters[1]}/solve", **solve).json["solved"] is True
    conn.execute("UPDATE player_scans SET status = 'annulled' WHERE qr_code = 'annulled'")

    scans = client.get(f"/player/{player.id}/history", headers=player.headers).json["scans"]

    given = [(scan["qr_code"], scan["description"], scan["reward"], scan["quantity"]) for scan in reversed(scans)]
    assert given == [
        ("drop", "Gate", "gem", 3),
        ("open", "", None, None),
        ("solved", "", "lamp", 1),
        ("drop", "Gate", None, None),
        ("unknown", None, None, None),
        ("annulled", "", None, None),
    ]


def test_history_page_reads_one_range_of_its_index(conn: Conn) -> None:
    """The statement of the store, for a player with 50,000 scans: no sort, no filter, no row beyond the page."""
    player, other = make_player(conn), make_player(conn)
    conn.execute("ALTER TABLE player_scans DISABLE TRIGGER player_scans_append_events")
    conn.execute(
        """
        INSERT INTO player_scans (player_id, qr_code, scan_time)
        SELECT (ARRAY[%s, %s]::uuid[])[1 + n %% 2], 'x', now() - n * interval '1 minute'
        FROM generate_series(1, 100000) n
        """,
        (player, other),
    )
    conn.execute("ALTER TABLE player_scans ENABLE TRIGGER player_scans_append_events")
    conn.execute("VACUUM ANALYZE player_scans")
    middle = datetime.now(UTC) - timedelta(minutes=50_000)
    plan = conn.execute(
        "EXPLAIN (ANALYZE, TIMING OFF) " + SELECT_HISTORY,
        {"player_id": player, "before_time": middle, "before_id": uuid4(), "limit": 50},
    ).fetchall()
    text = "\n".join(row[0] for row in plan)
    assert "Index Scan Backward using player_scans_history" in text
    assert "Sort" not in text
    # The join of a page with an empty table of codes may have a filter of its own.
    assert not re.search(r"(?<!Join )Filter:", text)
    (rows,) = re.findall(r"player_scans_history.*?rows=\d+ width=\d+\) \(actual rows=(\d+)", text)
    assert int(rows) == 50


@pytest.mark.parametrize("what", ["history", "inventory", "puzzles"])
def test_lists_of_another_player_are_forbidden(client: Any, player: Player, conn: Conn, what: str) -> None:
    assert client.get(f"/player/{make_player(conn)}/{what}", headers=player.headers).status_code == 403
    assert client.get(f"/player/{player.id}/{what}").status_code == 401
    assert client.get(f"/player/x/{what}", headers=player.headers).status_code == 404


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "limit=x", "cursor=!", "cursor=WyJhIiwiYiJd"])
def test_invalid_page_parameter_returns_422(client: Any, player: Player, query: str) -> None:
    response = client.get(f"/player/{player.id}/history?{query}", headers=player.headers)
    assert response.status_code == 422
    assert response.json["errors"][0]["loc"] == f"query.{query.split('=', maxsplit=1)[0]}"


def test_inventory_is_the_sum_of_ledger_entries_per_issuer(client: Any, player: Player, conn: Conn) -> None:
    zoo, museum = make_org(conn, "zoo"), make_org(conn, "museum")
    conn.execute(
        """
        UPDATE organizations SET color = '#000000', color_light = '#000001', color_dark = '#000002', logo = '',
               logo_digest = %s
        """,
        ("ab" * 32,),
    )
    conn.execute("UPDATE organizations SET closed_at = now() WHERE id = %s", (zoo,))
    for issuer, item, quantity in [
        *((zoo, "gem", 3), (zoo, "gem", -1), (zoo, "map", 1), (zoo, "lamp", 2), (zoo, "lamp", -2)),
        *((museum, "gem", 5), (None, "gem", 7), (None, "badge", 1)),
    ]:
        conn.execute(
            """
            INSERT INTO inventory_ledger (player_id, org_id, item, quantity, source, source_id)
            VALUES (%s, %s, %s, %s, 'quest', %s)
            """,
            (player.id, issuer, item, quantity, uuid4()),
        )
    inventory = client.get(f"/player/{player.id}/inventory", headers=player.headers).json["items"]
    assert [tuple(held.values()) for held in inventory] == [
        ("badge", 1, None, None, None, None, None),
        ("gem", 7, None, None, None, None, None),
        ("gem", 5, str(museum), "museum", "/b/museum/logo?v=abababababababab", "#000001", "#000002"),
        # The public files of a closed organization are not served.
        ("gem", 2, str(zoo), "zoo", None, "#000001", "#000002"),
        ("map", 1, str(zoo), "zoo", None, "#000001", "#000002"),
    ]


@pytest.mark.parametrize("source", ["scan", "encounter"])
def test_ledger_refuses_a_scan_reward_without_issuer(player: Player, conn: Conn, source: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="inventory_ledger_issuer"):
        conn.execute(
            "INSERT INTO inventory_ledger (player_id, item, quantity, source, source_id) VALUES (%s, 'gem', 1, %s, %s)",
            (player.id, source, uuid4()),
        )


def test_public_code_has_no_coordinates(client: Any, player: Player, conn: Conn) -> None:
    make_code(conn, code="spy123", description="A spy's letterbox", coordinates=AMSTERDAM)
    response = client.get("/qr/spy123", headers=player.headers)
    assert response.json == {
        "code": "spy123",
        "description": "A spy's letterbox",
        "scan_type": "item_drop",
        "requires_location": True,
    }
    assert client.get("/qr/other", headers=player.headers).status_code == 404
    assert client.get("/qr/spy123").status_code == 401
