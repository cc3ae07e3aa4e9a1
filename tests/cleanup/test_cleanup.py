"""What the hourly cleanup purges, and what it leaves."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest

from shared.infra import db, event_log
from shared.infra.db import Conn
from shared.visits import store as visits
from tests.analytics.factories import roll_up
from tests.support import factories
from tests.support.factories import make_code, make_player
from workers import cleanup

LONG_AGO = "now() - interval '31 days'"


def append(conn: Conn, *names: str, at: str = "now()") -> list[int]:
    for name in names:
        factories.append_event(conn, name)
        conn.execute(f"UPDATE events SET at = {at} WHERE type = %s", (name,))
    factories.number_events()
    return [event.position for event in event_log.read(conn, 0, limit=100)]


def set_positions(conn: Conn, position: int) -> None:
    for consumer in event_log.CONSUMERS:
        event_log.save_position(conn, consumer, position)


def stored_events(conn: Conn) -> list[str]:
    return [row[0] for row in conn.execute("SELECT type FROM events ORDER BY id")]


def test_events_are_purged_after_their_retention(conn: Conn) -> None:
    positions = append(conn, "old", at=LONG_AGO) and append(conn, "new")
    set_positions(conn, positions[-1])
    cleanup.clean_up()
    assert stored_events(conn) == ["new"]
    assert event_log.load_position(conn, "retention_horizon") == positions[0]


@pytest.mark.parametrize("behind", event_log.CONSUMERS)
def test_events_that_a_consumer_has_not_read_are_not_purged(conn: Conn, behind: str) -> None:
    """The relay has not published it, or it is not in the rollups yet."""
    positions = append(conn, "read", "unread", at=LONG_AGO)
    set_positions(conn, positions[-1])
    event_log.save_position(conn, behind, positions[0])
    cleanup.clean_up()
    assert stored_events(conn) == ["unread"]


@pytest.mark.parametrize("missing", event_log.CONSUMERS)
def test_no_event_is_purged_before_every_consumer_started(conn: Conn, missing: str) -> None:
    set_positions(conn, append(conn, "old", at=LONG_AGO)[-1])
    conn.execute("DELETE FROM log_positions WHERE name = %s", (missing,))
    cleanup.clean_up()
    assert stored_events(conn) == ["old"]
    assert event_log.load_position(conn, "retention_horizon") == 0


def test_event_purge_runs_in_batches_and_is_idempotent(conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cleanup, "BATCH_SIZE", 2)
    positions = append(conn, *"abcde", at=LONG_AGO)
    set_positions(conn, positions[-1])
    for _ in range(2):
        cleanup.clean_up()
        assert stored_events(conn) == []
        assert event_log.load_position(conn, "retention_horizon") == positions[-1]


def test_visits_are_purged_once_rolled_up_and_old(conn: Conn) -> None:
    code = make_code(conn)
    for at in (LONG_AGO, "now() - interval '399 days'", "now() - interval '402 days'", "now() - interval '500 days'"):
        conn.execute(f"INSERT INTO visits (qr_code_id, at, device) VALUES (%s, {at}, 'phone')", (code,))
    cleanup.clean_up()
    assert conn.execute("SELECT count(*) FROM visits").fetchone() == (4,)

    roll_up()
    assert [cleanup.purge_all().visits for _ in range(2)] == [2, 0]
    assert conn.execute("SELECT count(*) FROM visits").fetchone() == (2,)
    assert conn.execute("SELECT sum(count) FROM visit_rollup_daily WHERE subject_id = %s", (code,)).fetchone() == (4,)


def test_visits_are_not_purged_during_a_rebuild(conn: Conn) -> None:
    """A slice of the rebuild that counted after the purge would lose them."""
    conn.execute(f"INSERT INTO visits (qr_code_id, at, device) VALUES (%s, {LONG_AGO}, 'phone')", (make_code(conn),))
    roll_up()
    with db.dedicated_connection() as rebuilder, rebuilder.transaction():
        event_log.lock_positions(rebuilder)
        conn.execute("SET lock_timeout = '50ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            visits.purge(conn, before=datetime.now(UTC).date(), limit=10)
        conn.execute("RESET lock_timeout")
    assert visits.purge(conn, before=datetime.now(UTC).date(), limit=10) == 1


def test_expired_sessions_and_idempotency_keys_are_purged(conn: Conn) -> None:
    player = make_player(conn)
    for days in (-1, 1):
        expires_at = datetime.now(UTC) + timedelta(days=days)
        conn.execute(
            "INSERT INTO sessions (id, player_id, expires_at) VALUES (%s, %s, %s)",
            (uuid4(), player, expires_at),
        )
    for hours in (25, 23):
        conn.execute(
            """
            INSERT INTO idempotency_keys (caller_id, key, request_digest, response_status, response_headers,
                                          response_body, created_at)
            VALUES (%s, %s, '', 201, '{}', '', now() - make_interval(hours => %s))
            """,
            (player, str(hours), hours),
        )
    cleanup.clean_up()
    assert conn.execute("SELECT count(*) FROM sessions WHERE expires_at > now()").fetchone() == (1,)
    assert conn.execute("SELECT count(*) FROM sessions").fetchone() == (1,)
    assert conn.execute("SELECT key FROM idempotency_keys").fetchall() == [("23",)]
