"""What the hourly cleanup forgets, and what it never touches."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest

from shared.infra import db, event_log
from shared.infra.db import Conn
from shared.infra.event_log import LogPosition
from shared.visits import store as visits
from tests.support import factories
from tests.support.factories import make_code, make_player
from workers import cleanup
from workers.analytics import roll_up

LONG_AGO = "now() - interval '31 days'"


def tell(conn: Conn, *names: str, at: str = "now()") -> list[LogPosition]:
    for name in names:
        factories.append_event(conn, name)
        conn.execute(f"UPDATE events SET at = {at} WHERE type = %s", (name,))
    return [event.position for event in event_log.read(conn, LogPosition(0, 0), limit=100)]


def read_upto(conn: Conn, position: LogPosition) -> None:
    for reader in event_log.CONSUMERS:
        event_log.save_position(conn, reader, position)


def kept(conn: Conn) -> list[str]:
    return [row[0] for row in conn.execute("SELECT type FROM events ORDER BY xid, id")]


def test_events_are_kept_for_their_retention(conn: Conn) -> None:
    positions = tell(conn, "old", at=LONG_AGO) and tell(conn, "new")
    read_upto(conn, positions[-1])
    cleanup.clean_up()
    assert kept(conn) == ["new"]
    assert event_log.load_position(conn, "retention_horizon") == positions[0]


@pytest.mark.parametrize("behind", event_log.CONSUMERS)
def test_what_a_reader_has_yet_to_read_is_kept(conn: Conn, behind: str) -> None:
    """The relay has not published it, or it is not in the rollups."""
    positions = tell(conn, "read", "unread", at=LONG_AGO)
    read_upto(conn, positions[-1])
    event_log.save_position(conn, behind, positions[0])
    cleanup.clean_up()
    assert kept(conn) == ["unread"]


@pytest.mark.parametrize("missing", event_log.CONSUMERS)
def test_before_every_reader_has_begun_nothing_is_forgotten(conn: Conn, missing: str) -> None:
    read_upto(conn, tell(conn, "old", at=LONG_AGO)[-1])
    conn.execute("DELETE FROM log_positions WHERE name = %s", (missing,))
    cleanup.clean_up()
    assert kept(conn) == ["old"]
    assert event_log.load_position(conn, "retention_horizon") is None


def test_it_works_in_batches_and_running_again_changes_nothing(conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cleanup, "BATCH_SIZE", 2)
    positions = tell(conn, *"abcde", at=LONG_AGO)
    read_upto(conn, positions[-1])
    for _ in range(2):
        cleanup.clean_up()
        assert kept(conn) == []
        assert event_log.load_position(conn, "retention_horizon") == positions[-1]


def test_visits_are_kept_for_their_retention_and_until_they_are_rolled_up(conn: Conn) -> None:
    code = make_code(conn)
    for at in (LONG_AGO, "now() - interval '399 days'", "now() - interval '402 days'", "now() - interval '500 days'"):
        conn.execute(f"INSERT INTO visits (qr_code_id, at, device) VALUES (%s, {at}, 'phone')", (code,))
    cleanup.clean_up()
    assert conn.execute("SELECT count(*) FROM visits").fetchone() == (4,)

    roll_up()
    assert [cleanup.purge_all().visits for _ in range(2)] == [2, 0]
    assert conn.execute("SELECT count(*) FROM visits").fetchone() == (2,)
    assert conn.execute("SELECT sum(count) FROM visit_rollup_daily WHERE subject_id = %s", (code,)).fetchone() == (4,)


def test_visits_are_not_forgotten_while_their_days_are_rebuilt(conn: Conn) -> None:
    """A slice that counted after they went, and did not know of it yet, would lose them for good."""
    conn.execute(f"INSERT INTO visits (qr_code_id, at, device) VALUES (%s, {LONG_AGO}, 'phone')", (make_code(conn),))
    roll_up()
    with db.dedicated_connection() as rebuilder, rebuilder.transaction():
        event_log.lock_positions(rebuilder)
        conn.execute("SET lock_timeout = '50ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            visits.purge(conn, before=datetime.now(UTC).date(), limit=10)
        conn.execute("RESET lock_timeout")
    assert visits.purge(conn, before=datetime.now(UTC).date(), limit=10) == 1


def test_logins_and_idempotency_keys_that_are_over_are_forgotten(conn: Conn) -> None:
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
