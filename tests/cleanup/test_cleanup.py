"""What the hourly cleanup forgets, and what it never touches."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from shared import events
from shared.db import Conn
from shared.events import Position
from tests import build
from tests.build import make_player
from workers import cleanup

LONG_AGO = "now() - interval '31 days'"


def tell(conn: Conn, *names: str, at: str = "now()") -> list[Position]:
    for name in names:
        build.tell(conn, name)
        conn.execute(f"UPDATE events SET at = {at} WHERE type = %s", (name,))
    return [event.position for event in events.read(conn, Position(0, 0), limit=100)]


def kept(conn: Conn) -> list[str]:
    return [row[0] for row in conn.execute("SELECT type FROM events ORDER BY xid, id")]


def test_events_are_kept_for_their_retention(conn: Conn) -> None:
    positions = tell(conn, "old", at=LONG_AGO) and tell(conn, "new")
    events.write_mark(conn, "relay", positions[-1])
    cleanup.clean_up()
    assert kept(conn) == ["new"]
    assert events.read_mark(conn, "horizon") == positions[0]


def test_what_the_relay_has_not_published_is_kept(conn: Conn) -> None:
    positions = tell(conn, "published", "unpublished", at=LONG_AGO)
    events.write_mark(conn, "relay", positions[0])
    cleanup.clean_up()
    assert kept(conn) == ["unpublished"]


def test_without_a_relay_nothing_is_forgotten(conn: Conn) -> None:
    tell(conn, "old", at=LONG_AGO)
    cleanup.clean_up()
    assert kept(conn) == ["old"]
    assert events.read_mark(conn, "horizon") is None


def test_it_works_in_batches_and_running_again_changes_nothing(conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cleanup, "BATCH", 2)
    positions = tell(conn, *"abcde", at=LONG_AGO)
    events.write_mark(conn, "relay", positions[-1])
    for _ in range(2):
        cleanup.clean_up()
        assert kept(conn) == []
        assert events.read_mark(conn, "horizon") == positions[-1]


def test_logins_and_idempotency_keys_that_are_over_are_forgotten(conn: Conn) -> None:
    player = make_player(conn)
    for days in (-1, 1):
        expires_at = datetime.now(UTC) + timedelta(days=days)
        conn.execute(
            "INSERT INTO refresh_families (id, player_id, expires_at) VALUES (%s, %s, %s)",
            (uuid4(), player, expires_at),
        )
    for hours in (25, 23):
        conn.execute(
            """
            INSERT INTO idempotency_keys (caller, key, digest, status, headers, answer, created_at)
            VALUES (%s, %s, '', 201, '{}', '', now() - make_interval(hours => %s))
            """,
            (player, str(hours), hours),
        )
    cleanup.clean_up()
    assert conn.execute("SELECT count(*) FROM refresh_families WHERE expires_at > now()").fetchone() == (1,)
    assert conn.execute("SELECT count(*) FROM refresh_families").fetchone() == (1,)
    assert conn.execute("SELECT key FROM idempotency_keys").fetchall() == [("23",)]
