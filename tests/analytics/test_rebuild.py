"""A rebuild writes correct rows, whatever the old rows were, and during other changes."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from shared.analytics import rebuild
from shared.infra.db import Conn
from shared.organizations import store as organizations
from tests.analytics.expected_rollups import counted, rolled_up
from tests.analytics.factories import NOON, correct, rebuild_all, roll_up, settle, visit
from tests.support.command_line import error_of, waymark
from tests.support.factories import code_text, make_code, make_org, make_player, number_events
from workers import analytics

STATUSES = ("success", "failure", "held", "annulled")


def spoil(conn: Conn) -> None:
    """Make some rows wrong, delete some, and insert superfluous ones."""
    stranger = make_player(conn)
    conn.execute("UPDATE scan_rollup_daily SET count = count + 7, unique_players = 0")
    conn.execute("DELETE FROM scan_rollup_15m")
    conn.execute("DELETE FROM visit_rollup_daily")
    for (subject,) in conn.execute("SELECT DISTINCT subject_id FROM scan_rollup_daily").fetchall():
        conn.execute("INSERT INTO scan_daily_players VALUES (%s, '2026-03-01', %s)", (subject, stranger))
        conn.execute("INSERT INTO scan_all_time_players VALUES (%s, %s)", (subject, stranger))
        conn.execute("INSERT INTO scan_rollup_daily_reasons VALUES (%s, '2026-03-28', 'no such', 1)", (subject,))
        conn.execute("INSERT INTO visit_rollup_15m VALUES (%s, '2026-03-28 12:15Z', 1)", (subject,))


def test_a_rebuild_writes_the_same_rows(conn: Conn) -> None:
    org, player = make_org(conn), make_player(conn)
    codes = [make_code(conn, org), make_code(conn, org), make_code(conn)]
    for k, status in enumerate(STATUSES * 6):
        settle(conn, player, codes[k % 3], status, NOON + k * timedelta(hours=31), device="tablet")
        visit(conn, codes[k % 3], NOON - k * timedelta(days=3))
    roll_up()
    before = rolled_up(conn)
    conn.execute("UPDATE qr_codes SET deleted_at = now() WHERE id = %s", (codes[1],))
    assert before == counted(conn)
    spoil(conn)
    conn.execute("DELETE FROM scan_all_time_players WHERE subject_id = %s", (org,))

    rebuild_all(conn)

    assert rolled_up(conn) == before


def test_rebuilding_one_code_leaves_the_others_alone(conn: Conn) -> None:
    org, player, text_like_an_id = make_org(conn), make_player(conn), str(uuid4())
    codes = [make_code(conn, org), make_code(conn, org, code=text_like_an_id)]
    for code in codes:
        settle(conn, player, code)
        visit(conn, code)
    roll_up()
    before = rolled_up(conn)
    conn.execute("UPDATE scan_rollup_daily SET count = 100")

    waymark("analytics", "rebuild", "--code", code_text(conn, codes[0]))

    after = rolled_up(conn)
    assert {key[0] for key, row in after["scan_rollup_daily"].items() if row[0] == 100} == {codes[1], org}
    waymark("analytics", "rebuild", "--org", organizations.get_slug(conn, org))
    assert rolled_up(conn) == before
    for subject in (("--code", codes[0]), ("--code", text_like_an_id), ("--org", org), ("--all",)):
        waymark("analytics", "rebuild", *subject)
    assert rolled_up(conn) == before
    assert error_of("analytics", "rebuild", "--org", player) == f"No organization {player}"
    assert error_of("analytics", "rebuild", "--code", "unknown") == "No code unknown"


def test_a_rebuild_counts_up_to_the_log_position(conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scans settled or reviewed after the log position are rolled up later, and must not count twice."""
    code, player = make_code(conn), make_player(conn)
    held = settle(conn, player, code, "held")
    good = settle(conn, player, code)
    roll_up()
    correct(conn, held, "success")
    correct(conn, good, "annulled")
    later = settle(conn, player, code, "held")
    correct(conn, later, "success")
    correct(conn, held, "annulled")
    visit(conn, code)
    before = rolled_up(conn)

    with monkeypatch.context() as halted:
        halted.setattr(analytics, "roll_up_batch", lambda: False)
        rebuild_all(conn)

    assert rolled_up(conn) == before
    roll_up()
    assert rolled_up(conn) == counted(conn)


def test_a_code_created_during_a_rebuild_counts_for_its_organization(conn: Conn) -> None:
    org, player = make_org(conn), make_player(conn)
    settle(conn, player, make_code(conn, org))
    listed = rebuild.of_organization(conn, org)
    later = make_code(conn, org)
    settle(conn, make_player(conn), later)
    visit(conn, later)

    number_events()
    analytics.rebuild(listed)

    assert rolled_up(conn) == counted(conn)


def test_purged_visits_stay_in_the_rollups(conn: Conn) -> None:
    code = make_code(conn)
    visit(conn, code, NOON - timedelta(days=1))
    visit(conn, code, NOON)
    roll_up()
    before = rolled_up(conn)
    conn.execute("DELETE FROM visits WHERE at < %s", (NOON,))
    conn.execute("INSERT INTO visit_purges VALUES (%s)", (NOON.date(),))
    conn.execute("DELETE FROM visit_rollup_daily WHERE day = %s", (NOON.date(),))

    rebuild_all(conn)

    assert rolled_up(conn) == before


def test_an_unknown_id_is_reported(conn: Conn) -> None:
    assert error_of("analytics", "rebuild", "--code", UUID(int=0)).startswith("No code")
    assert "--all" in error_of("analytics", "rebuild", status=2)
