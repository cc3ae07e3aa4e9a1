"""`waymark scans`."""

from uuid import uuid4

from shared.infra.db import Conn
from tests.cli.conftest import operator_entries
from tests.reviews.factories import hold, scan, status
from tests.support.callers import Staff
from tests.support.command_line import error_of, waymark, waymark_json
from tests.support.factories import list_items, make_code, make_player, submit_scan
from workers.scans import scans


def test_verdict_is_explained(conn: Conn, staff: Staff) -> None:
    player, code = make_player(conn), make_code(conn, staff.org_id)
    held, won = hold(conn, player, code, staff.org_id), scan(conn, make_player(conn), code)
    explained = waymark_json("scans", "explain", held)
    assert (explained["status"], explained["reason"]) == ("held", "impossible_travel")
    assert {step["rule"]: step["outcome"] for step in explained["rules"]}["impossible_travel"] == "held"
    assert "Impossible_travel" not in (text := waymark("scans", "explain", won))
    assert "success" in text
    pending = submit_scan(conn, player, code)
    assert waymark_json("scans", "explain", pending)["rules"] == []
    assert error_of("scans", "explain", code).startswith("No scan")


def test_held_scan_is_released_and_annulled_once(conn: Conn, staff: Staff) -> None:
    player, code = make_player(conn), make_code(conn, staff.org_id, reward_quantity=3)
    held = hold(conn, player, code, staff.org_id)

    assert waymark("scans", "release", held) == f"Scan {held} is released\n"
    assert waymark_json("scans", "release", held)["changed"] is False
    assert (status(conn, held), list_items(conn, player)) == (("success", None), [("gem", 3)])
    assert "Confirm with --yes" in error_of("scans", "annul", held)
    assert waymark("scans", "annul", held, "--yes") == f"Scan {held} is annulled\n"
    assert (status(conn, held), list_items(conn, player)) == (("annulled", None), [])
    assert "only held scans can be released" in error_of("scans", "release", held)
    assert operator_entries(conn) == [("scan.released", str(held)), ("scan.annulled", str(held))]
    reviewed = conn.execute("SELECT reviewed_by, reviewed_at IS NULL FROM player_scans WHERE id = %s", (held,))
    assert reviewed.fetchone() == (None, False)
    assert waymark_json("scans", "explain", held)["reviewed_at"] is not None


def test_pending_scan_is_judged_although_its_attempts_are_exhausted(conn: Conn, staff: Staff) -> None:
    code = make_code(conn, staff.org_id)
    pending = submit_scan(conn, make_player(conn), code)
    conn.execute("UPDATE player_scans SET attempts = 3, lease_token = %s, lease_until = now()", (uuid4(),))

    assert waymark("scans", "resettle", pending) == f"Scan {pending} is judged now\n"
    scans.run_pending()
    assert status(conn, pending) == ("success", None)
    assert "has a verdict already" in error_of("scans", "resettle", pending)
    assert operator_entries(conn) == [("scan.resettled", str(pending))]
