"""The schema goes up and comes down again, and holds what the rules promise."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from alembic import command
from alembic.script import ScriptDirectory

from migrations import config
from script.stack.running_server import CHECKOUT
from shared.infra import health
from shared.infra.db import Conn

SCHEMA = """
    SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns
    WHERE table_schema = 'public' AND table_name <> 'alembic_version'
    UNION ALL
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), '', '' FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace AND conrelid <> 0 AND conrelid::regclass::text <> 'alembic_version'
    UNION ALL
    SELECT tablename, indexname, indexdef, '', '' FROM pg_indexes
    WHERE schemaname = 'public' AND tablename <> 'alembic_version'
    UNION ALL
    SELECT tgrelid::regclass::text, tgname, pg_get_triggerdef(oid), '', '' FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL
    SELECT proname, '', prosrc, '', '' FROM pg_proc
    WHERE pronamespace = 'public'::regnamespace AND proname <> 'test_empty_database'
      AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_proc.oid AND deptype = 'e')
    ORDER BY 1, 2, 3
"""


@pytest.fixture
def schema(conn: Conn) -> Iterator[Any]:
    """Reads the whole schema; puts it back at head whatever the test did."""
    yield lambda: conn.execute(SCHEMA).fetchall()
    command.upgrade(config(), "head")


def test_down_leaves_nothing_and_up_again_makes_the_same(schema: Any) -> None:
    before = schema()
    command.downgrade(config(), "base")
    assert schema() == []
    command.upgrade(config(), "head")
    assert schema() == before


def test_every_table_can_be_replicated(conn: Conn) -> None:
    """Without a primary key, updates of a published table fail. Unlogged tables are not copied."""
    found = conn.execute(
        """
        SELECT relname FROM pg_class t WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace
          AND (relpersistence <> 'p' OR NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = t.oid AND i.indisprimary))
        UNION ALL SELECT tgname FROM pg_trigger WHERE tgenabled <> 'O' AND NOT tgisinternal
        """
    )
    assert found.fetchall() == []


def test_the_head_that_processes_wait_for_is_alembics() -> None:
    assert health.required_migration() == ScriptDirectory.from_config(config()).get_current_head()


@pytest.mark.parametrize(
    ("floor", "direction", "status", "printed"),
    [
        (1, "upgrade", 0, "schema_is_newer"),
        (9999, "upgrade", 1, "has revision 9998"),
        (1, "downgrade", 1, "has revision 9998"),
    ],
)
def test_release_before_the_schema_migrates_nothing(
    floor: int, direction: str, status: int, printed: str, conn: Conn
) -> None:
    """As after a rollback, whose release process runs before the others."""
    current = health.required_migration()
    conn.execute("UPDATE alembic_version SET version_num = '9998'")
    try:
        conn.execute("UPDATE schema_floor SET code = %s", (floor,))
        released = subprocess.run(
            (sys.executable, "-m", "migrations", direction), cwd=CHECKOUT, capture_output=True, text=True, timeout=120
        )
    finally:
        conn.execute("UPDATE alembic_version SET version_num = %s", (current,))
        conn.execute("UPDATE schema_floor SET code = 1")
    assert released.returncode == status
    assert printed in released.stdout + released.stderr
    assert "Traceback" not in released.stderr


@pytest.fixture
def code(conn: Conn) -> Any:
    """An organization's code, by SQL alone."""
    return conn.execute(
        """
        WITH org AS (INSERT INTO organizations (name, slug) VALUES ('Org', 'org') RETURNING id)
        INSERT INTO qr_codes (org_id, code, scan_type) SELECT id, 'spy123', 'item_drop' FROM org RETURNING id
        """
    ).fetchone()[0]  # type: ignore[index]


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("latitude = 90.1, longitude = 0", "qr_codes_latitude"),
        ("latitude = 'NaN', longitude = 0", "qr_codes_latitude"),
        ("latitude = 0, longitude = -180.1", "qr_codes_longitude"),
        ("latitude = 1", "qr_codes_coordinates_pair"),
        ("requires_location = true", "qr_codes_location_required"),
        ("radius_m = 4", "qr_codes_radius"),
        ("scan_type = NULL", "qr_codes_scan_type_or_target_url"),
        ("code = 'a b'", "qr_codes_code_form"),
        ("starts_at = '-infinity'", "qr_codes_times"),
        ("expires_at = 'infinity'", "qr_codes_times"),
        ("usable_since = '10000-01-01'", "qr_codes_times"),
    ],
)
def test_a_code_that_breaks_a_rule_is_refused(conn: Conn, code: Any, change: str, constraint: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation) as refused:
        conn.execute(f"UPDATE qr_codes SET {change} WHERE id = %s", (code,))
    assert refused.value.diag.constraint_name == constraint


@pytest.mark.parametrize("level", [0, 11])
def test_difficulty_is_one_to_ten(conn: Conn, code: Any, level: int) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        conn.execute(
            "INSERT INTO encounters (qr_code_id, puzzle_type, difficulty_level) VALUES (%s, 'pattern', %s)",
            (code, level),
        )


def test_row_inserted_by_hand_is_pending_and_notified(conn: Conn, code: Any) -> None:
    player = conn.execute("INSERT INTO players (username) VALUES ('ada') RETURNING id").fetchone()
    assert player is not None
    conn.execute("LISTEN qr_scan")
    conn.execute("INSERT INTO player_scans (player_id, qr_code_id) VALUES (%s, %s)", (player[0], code))
    notified = next(conn.notifies(timeout=5, stop_after=1))
    conn.execute("UNLISTEN *")
    assert f'"player_id" : "{player[0]}"' in notified.payload
    assert '"qr_code" : "spy123"' in notified.payload
    assert conn.execute("SELECT status, success, qr_code FROM player_scans").fetchone() == ("pending", None, "spy123")
    assert conn.execute("SELECT type, player_id FROM events").fetchone() == ("qr_scan", player[0])


@pytest.mark.parametrize("column", ["scan_time", "received_at"])
@pytest.mark.parametrize("time", ["infinity", "-infinity", "10000-01-01", "0044-03-15 BC"])
def test_scan_at_a_time_that_no_worker_can_read_is_refused(conn: Conn, code: Any, column: str, time: str) -> None:
    conn.execute("INSERT INTO players (username) VALUES ('ada')")
    with pytest.raises(psycopg.errors.CheckViolation) as refused:
        conn.execute(
            f"INSERT INTO player_scans (player_id, qr_code_id, {column}) SELECT id, %s, %s FROM players",
            (code, time),
        )
    assert refused.value.diag.constraint_name == "player_scans_times"


def test_verdict_inserted_by_hand_appends_its_event(conn: Conn, code: Any) -> None:
    conn.execute("INSERT INTO players (username) VALUES ('ada')")
    conn.execute(
        """
        INSERT INTO player_scans (player_id, qr_code_id, status, reason, settled_at)
        SELECT id, %s, 'failure', 'expired', now() FROM players
        """,
        (code,),
    )
    result = conn.execute("SELECT type, data - 'scan_id' FROM events ORDER BY id").fetchall()
    assert result == [
        ("qr_scan", {"qr_code": "spy123"}),
        ("scan_result", {"qr_code": "spy123", "status": "failure", "reason": "expired"}),
    ]


def test_longest_code_text_fits_into_a_notification(conn: Conn, code: Any) -> None:
    conn.execute("INSERT INTO players (username) VALUES ('ada')")
    conn.execute(
        "INSERT INTO player_scans (player_id, qr_code) SELECT id, repeat(%s, 2048) FROM players", ("\U0001f600",)
    )
    assert conn.execute("SELECT count(*) FROM events").fetchone() == (1,)


def test_a_verdict_is_given_once(conn: Conn, code: Any) -> None:
    conn.execute("INSERT INTO players (username) VALUES ('ada')")
    conn.execute("INSERT INTO player_scans (player_id, qr_code_id) SELECT id, %s FROM players", (code,))
    conn.execute("UPDATE player_scans SET status = 'success', settled_at = now()")
    with pytest.raises(psycopg.errors.CheckViolation):
        conn.execute("UPDATE player_scans SET status = 'failure', reason = 'expired'")
    conn.execute("UPDATE player_scans SET status = 'annulled'")


def test_ids_made_by_the_database_are_version_7(conn: Conn) -> None:
    made = [row[0] for row in conn.execute("SELECT waymark_uuid7() FROM generate_series(1, 100)")]
    assert {(made_id.version, made_id.variant) for made_id in made} == {(7, "specified in RFC 4122")}
    now = conn.execute("SELECT extract(epoch FROM now()) * 1000").fetchone()
    assert now is not None
    assert all(abs((made_id.int >> 80) - float(now[0])) < 60_000 for made_id in made)
