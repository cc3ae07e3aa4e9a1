"""A dump restored into another cluster, whose transaction ids begin anew: nothing is read twice or lost."""

import threading
from typing import Any

import pytest

from shared.analytics import rollup
from shared.infra import db, event_log, event_log_restore
from shared.infra.db import Conn
from shared.infra.event_log import RELAY, LogPosition
from tests.analytics.expected_rollups import counted, rolled_up
from tests.analytics.factories import correct, settle, visit
from tests.support.factories import append_event, make_code, make_player
from workers import relay
from workers.analytics import roll_up


def restore(conn: Conn) -> None:
    """As if the old cluster had come further by a thousand million transactions."""
    for table in ("events", "visits", "log_positions"):
        conn.execute(f"UPDATE {table} SET xid = (xid::text::bigint + 1000000000)::text::xid8")


def test_after_a_restore_only_unread_rows_are_rolled_up(conn: Conn) -> None:
    code, player = make_code(conn), make_player(conn)
    held = settle(conn, player, code, "held")
    visit(conn, code)
    roll_up()
    settle(conn, player, code)
    visit(conn, code)
    restore(conn)
    correct(conn, held, "success")
    visit(conn, code)

    for _ in range(2):
        roll_up()
        assert rolled_up(conn) == counted(conn)
    assert not event_log_restore.has_future_positions(conn)
    settle(conn, player, code)
    roll_up()
    assert rolled_up(conn) == counted(conn)


def test_marks_alone_are_enough(conn: Conn) -> None:
    """The events themselves had been purged."""
    code, player = make_code(conn), make_player(conn)
    settle(conn, player, code)
    roll_up()
    conn.execute("DELETE FROM events")
    restore(conn)
    settle(conn, player, code)
    roll_up()
    assert rolled_up(conn) == counted(conn)


def test_ids_out_of_order_do_not_move_to_the_other_side_of_a_mark(conn: Conn) -> None:
    code, player = make_code(conn), make_player(conn)
    with db.dedicated_connection() as late, late.transaction():
        late.execute("SELECT pg_current_xact_id()")
        settle(conn, player, code)
        settle(late, player, code)
    with conn.transaction():
        assert rollup.roll_up_scans(conn, limit=2) == 2
    restore(conn)
    roll_up()
    assert rolled_up(conn) == counted(conn)


def test_after_a_restore_the_relay_publishes_unread_events(conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    append_event(conn, "read")
    event_log.save_position(conn, RELAY, event_log.read(conn, LogPosition(0, 0), limit=1)[0].position)
    append_event(conn, "unread")
    restore(conn)
    append_event(conn, "new")
    published: list[str] = []
    monkeypatch.setattr(relay, "publish", lambda _conn, batch, *_: published.extend(event.type for event in batch))

    for _ in range(2):
        stopping = threading.Event()
        monkeypatch.setattr(relay, "wait", lambda *_: stopping.set())  # noqa: B023 - called within this round
        with db.dedicated_connection() as leader:
            relay.publish_events(leader, stopping)

    assert published == ["unread", "new"]


def test_a_cluster_with_positions_of_its_own_is_left_alone(conn: Conn) -> None:
    settle(conn, make_player(conn), make_code(conn))
    roll_up()
    before: Any = conn.execute("SELECT * FROM log_positions ORDER BY name").fetchall()
    assert not event_log_restore.restore_positions(conn)
    assert conn.execute("SELECT * FROM log_positions ORDER BY name").fetchall() == before
