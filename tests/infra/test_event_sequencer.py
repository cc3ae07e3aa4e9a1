"""The sequencer numbers each committed event once, whatever else runs on the server."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import psycopg
import pytest

from shared.infra import db, event_log, event_sequencer
from shared.infra.db import Conn, exactly_one
from shared.infra.event_log import SKIPPED_POSITIONS
from shared.infra.event_sequencer import Sequencer
from shared.scans.store import NewScan, accept
from tests.infra.other_database import other_database, restore_log
from tests.support.concurrency import run_concurrently, wait_until_blocked
from tests.support.factories import append_event, code_text, make_code, make_player, number_events

BATCH = 100


@pytest.fixture
def sequencer(conn: Conn) -> Iterator[Sequencer]:
    with db.dedicated_connection() as own:
        yield Sequencer(own)


@pytest.fixture(scope="module")
def other_url() -> Iterator[str]:
    with other_database() as url:
        yield url


def number(sequencer: Sequencer) -> list[str]:
    return [event.type for event in sequencer.number(limit=BATCH)]


def log(conn: Conn) -> list[tuple[int, str]]:
    return [(event.position, event.type) for event in event_log.read(conn, 0, limit=BATCH)]


# Order ---------------------------------------------------------------------------------------------------------------


def test_positions_are_dense_and_follow_the_order_of_inserts(conn: Conn, sequencer: Sequencer) -> None:
    with db.dedicated_connection() as undone, undone.transaction(force_rollback=True):
        append_event(undone, "undone")
    for name in "abc":
        append_event(conn, name)
    assert number(sequencer) == ["a", "b", "c"]
    assert number(sequencer) == []
    append_event(conn, "d")
    assert number(sequencer) == ["d"]
    assert log(conn) == [(1, "a"), (2, "b"), (3, "c"), (4, "d")]


def test_late_commit_delays_only_its_own_events(conn: Conn, sequencer: Sequencer) -> None:
    with db.dedicated_connection() as late:
        with late.transaction():
            append_event(late, "late")
            append_event(conn, "quick")
            assert number(sequencer) == ["quick"]
        assert number(sequencer) == ["late"]


def test_late_commit_of_the_newest_transaction_is_numbered(conn: Conn, sequencer: Sequencer) -> None:
    """Its id is below one that was numbered, and the snapshot of that time does not list it as running."""
    with db.dedicated_connection() as first, db.dedicated_connection() as newest, newest.transaction():
        with first.transaction():
            first.execute("SELECT pg_current_xact_id()")
            append_event(newest, "newest")
            append_event(first, "first")
        assert number(sequencer) == ["first"]
    assert number(sequencer) == ["newest"]


def test_negative_control_highest_id_skips_a_late_commit(conn: Conn) -> None:
    """The rule without positions: a consumer stores the highest id that it has read."""
    read_above = "SELECT id FROM events WHERE id > %s ORDER BY id"
    with db.dedicated_connection() as late, late.transaction():
        append_event(late, "late")
        append_event(conn, "quick")
        (highest,) = exactly_one(conn.execute(read_above, (0,)))
    assert conn.execute(read_above, (highest,)).fetchall() == []
    assert len(number_events()) == 2


@pytest.mark.parametrize("where", ["this database", "another database"])
def test_long_transaction_delays_no_other_event(conn: Conn, sequencer: Sequencer, other_url: str, where: str) -> None:
    """Negative control: readers that stop below the oldest transaction of the server read nothing until it ends."""
    below_the_oldest = "SELECT FROM events WHERE xid < pg_snapshot_xmin(pg_current_snapshot())"
    url = other_url if where == "another database" else db.dedicated_connection().info.dsn
    with psycopg.connect(url, password=conn.info.password) as long:
        long.execute("CREATE TABLE imported (id integer)")
        append_event(conn, "event")
        assert conn.execute(below_the_oldest).fetchall() == []
        assert number(sequencer) == ["event"]
        long.rollback()
    assert len(conn.execute(below_the_oldest).fetchall()) == 1


def test_event_in_a_locked_row_is_numbered_later(conn: Conn, sequencer: Sequencer) -> None:
    """An erasure that takes long delays only the events of its player, also if a batch of others follows."""
    ada = make_player(conn)
    append_event(conn, "scan_result", ada, qr_code="text of an unknown code")
    append_event(conn, "other")
    with db.dedicated_connection() as erasing, erasing.transaction():
        event_log.erase_player(erasing, ada)
        assert number(sequencer) == ["other"]
        for name in "abc":
            append_event(conn, name)
        numbered_meanwhile = [event.type for _ in range(2) for event in sequencer.number(limit=2)]
        assert numbered_meanwhile == ["a", "b", "c"]
    (numbered,) = sequencer.number(limit=BATCH)
    assert (numbered.type, numbered.data["qr_code"]) == ("scan_result", "erased")
    assert number(sequencer) == []


def test_backlog_is_numbered_in_batches(conn: Conn, sequencer: Sequencer) -> None:
    with db.dedicated_connection() as late, late.transaction():
        for k in range(5):
            append_event(late, f"late{k}")
            append_event(conn, f"quick{k}")
        assert len(sequencer.number(limit=3)) == 3
    names = [event.type for _ in range(9) for event in sequencer.number(limit=2)]
    assert len(names) == 7
    assert [name for name in names if name.startswith("late")] == [f"late{k}" for k in range(5)]
    assert [position for position, _ in log(conn)] == list(range(1, 11))


def test_more_is_left_behind_events_that_have_positions(conn: Conn, sequencer: Sequencer) -> None:
    """A late commit with low ids makes the sequencer read on from there."""
    with db.dedicated_connection() as late, late.transaction():
        for name in "ab":
            append_event(late, name)
        for name in "cde":
            append_event(conn, name)
        assert [event.type for event in sequencer.number(limit=2)] == ["c", "d"]
    numbered = [event.type for event in sequencer.number(limit=2)]
    while sequencer.has_more:
        numbered += [event.type for event in sequencer.number(limit=2)]
    assert numbered == ["a", "b", "e"]


def test_dead_entries_behind_a_long_transaction_are_not_read(conn: Conn) -> None:
    """Negative control: the whole index of events without a position has all of them."""
    dead = 20_000
    with db.dedicated_connection() as long, db.dedicated_connection() as own, long.transaction():
        sequencer = Sequencer(own)
        long.execute("SELECT pg_current_xact_id(), pg_export_snapshot()")
        conn.execute("INSERT INTO events (type) SELECT 'many' FROM generate_series(1, %s)", (dead,))
        while sequencer.number(limit=5_000):
            pass
        append_event(conn, "one")
        with db.dedicated_connection() as control:
            before = blocks_read(control)
            Sequencer(control)
            surveyed = blocks_read(control) - before
        before = blocks_read(own)
        assert number(sequencer) == ["one"]
        assert blocks_read(own) - before < 100 < surveyed
    conn.execute("TRUNCATE events")


def blocks_read(conn: Conn) -> int:
    """Return how many blocks of the event log and its indexes were read, by this session up to now."""
    conn.execute("SELECT pg_stat_force_next_flush()")
    row = exactly_one(
        conn.execute(
            """
            SELECT heap_blks_hit + heap_blks_read + idx_blks_hit + idx_blks_read FROM pg_statio_user_tables
            WHERE relname = 'events'
            """
        )
    )
    return int(row[0])


# Two sequencers ------------------------------------------------------------------------------------------------------


def test_two_sequencers_number_each_event_once(conn: Conn, sequencer: Sequencer) -> None:
    with db.dedicated_connection() as own:
        both = sequencer, Sequencer(own)
        for k in range(20):
            append_event(conn, str(k))
        numbered = run_concurrently([lambda each=each: number(each) for each in both])  # type: ignore[misc]
    assert sorted(int(name) for names in numbered for name in names) == list(range(20))
    assert [position for position, _ in log(conn)] == list(range(1, 21))


@pytest.mark.parametrize("lock", ["the same lock", "negative control"])
def test_second_sequencer_waits_for_the_commit_of_the_first(
    conn: Conn, sequencer: Sequencer, monkeypatch: pytest.MonkeyPatch, lock: str
) -> None:
    append_event(conn, "first")
    with db.dedicated_connection() as own, ThreadPoolExecutor(1) as thread:
        first = Sequencer(own)
        with own.transaction():
            assert number(first) == ["first"]
            append_event(conn, "second")
            if lock == "negative control":
                monkeypatch.setattr(event_sequencer, "SEQUENCER_LOCK", 1)
            second = thread.submit(number, sequencer)
            wait_until_blocked(conn)
        if lock == "negative control":
            with pytest.raises(psycopg.errors.UniqueViolation):
                second.result()
        else:
            assert second.result() == ["second"]
            assert log(conn) == [(1, "first"), (2, "second")]


# Restore -------------------------------------------------------------------------------------------------------------


def test_restored_log_goes_on_after_a_gap_in_which_no_client_resumes(conn: Conn, other_url: str) -> None:
    """Transaction ids of the old server mean nothing in the new one. Nothing is renumbered."""
    for name in "ab":
        append_event(conn, name)
    with db.dedicated_connection() as own, psycopg.connect(other_url, autocommit=True) as restored:
        sequencer = Sequencer(own)
        assert number(sequencer) == ["a", "b"]
        append_event(conn, "unnumbered")
        conn.execute("UPDATE events SET xid = '9000000000000000000'::xid8 WHERE position IS NULL")
        restore_log(conn, restored)
        assert number(sequencer) == ["unnumbered"]
        append_event(conn, "lost")
        assert number(sequencer) == ["lost"]

        with psycopg.connect(other_url, autocommit=True) as leader:
            new = Sequencer(leader)
            append_event(restored, "new")
            first = 2 + SKIPPED_POSITIONS + 1
            assert number(new) == ["unnumbered", "new"]
            assert log(restored) == [(1, "a"), (2, "b"), (first, "unnumbered"), (first + 1, "new")]
            assert [event_log.can_resume(restored, since) for since in (2, 3, 4, first - 1)] == [
                True,
                False,
                False,
                False,
            ]
            assert [event_log.can_resume(restored, since) for since in (first, first + 1, first + 2)] == [
                True,
                True,
                False,
            ]
            Sequencer(leader)
            append_event(restored, "once")
            assert number(new) == ["once"]
            assert log(restored)[-1] == (first + 2, "once")


def test_sequencer_of_the_same_server_leaves_no_gap(conn: Conn, sequencer: Sequencer) -> None:
    append_event(conn, "a")
    assert number(sequencer) == ["a"]
    append_event(conn, "b")
    assert [event.position for event in number_events()] == [2]


def test_positions_continue_after_the_whole_log_was_purged(conn: Conn, sequencer: Sequencer) -> None:
    append_event(conn, "a")
    number(sequencer)
    for consumer in event_log.CONSUMERS:
        event_log.save_position(conn, consumer, 1)
    conn.execute("UPDATE events SET at = '2020-01-01'")
    assert event_log.purge(conn, before=exactly_one(conn.execute("SELECT now()"))[0], limit=10) == 1
    assert [event_log.can_resume(conn, since) for since in (0, 1, 2)] == [False, True, False]
    append_event(conn, "b")
    number(sequencer)
    assert log(conn) == [(2, "b")]


def test_server_without_rights_on_its_control_data_is_identified(conn: Conn) -> None:
    """As some managed servers are."""
    whole = event_sequencer.identify_server(conn)
    conn.execute("CREATE ROLE plain")
    try:
        conn.execute("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
        conn.execute("SET ROLE plain")
        assert whole.endswith(f"/{event_sequencer.identify_server(conn)}")
    finally:
        conn.execute("RESET ROLE")
        conn.execute("GRANT EXECUTE ON FUNCTION pg_control_system() TO PUBLIC")
        conn.execute("DROP ROLE plain")


@pytest.mark.parametrize("since", ["", "x", "-1", "1-1", "1.0", " 1", "²", "٣", "9223372036854775808", "1" * 5_000])
def test_malformed_position_is_no_position(since: str) -> None:
    assert event_log.parse_position(since) is None


@pytest.mark.parametrize("since", [0, 1, event_log.MAX_POSITION])
def test_position_is_read_as_written(since: int) -> None:
    assert event_log.parse_position(str(since)) == since


# NOTIFY --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def listeners(conn: Conn) -> Iterator[list[Conn]]:
    with db.dedicated_connection() as one, db.dedicated_connection() as other:
        for each in (one, other):
            each.execute("LISTEN qr_scan")
        yield [one, other]


def notified(listener: Conn) -> list[UUID]:
    """Return the scans in all notifications that have arrived."""
    listener.execute("SELECT")
    return [UUID(json.loads(each.payload)["scan_id"]) for each in listener.notifies(timeout=0)]


def test_scan_of_the_api_is_notified_once_by_the_relay(conn: Conn, sequencer: Sequencer, listeners: list[Conn]) -> None:
    """So accepting it takes no lock of the whole server."""
    player, code = make_player(conn), code_text(conn, make_code(conn))
    scans = [accept(conn, NewScan(player, code), device="phone") for _ in range(3)]
    assert [notified(each) for each in listeners] == [[], []]
    for _ in range(2):
        sequencer.number(limit=BATCH)
    assert [notified(each) for each in listeners] == [scans, scans]


@pytest.mark.parametrize("device", [None, "phone"])
def test_row_inserted_by_hand_is_notified_once(
    conn: Conn, sequencer: Sequencer, listeners: list[Conn], device: str | None
) -> None:
    """Without a device, at its commit, also while no relay runs. With one, the relay takes it for one of the API."""
    scan = uuid4()
    conn.execute(
        "INSERT INTO player_scans (id, player_id, qr_code_id, device) VALUES (%s, %s, %s, %s)",
        (scan, make_player(conn), make_code(conn), device),
    )
    at_commit = [] if device else [scan]
    assert [notified(each) for each in listeners] == [at_commit, at_commit]
    for _ in range(2):
        sequencer.number(limit=BATCH)
    later = [scan] if device else []
    assert [notified(each) for each in listeners] == [later, later]


@pytest.mark.parametrize("device", [None, "phone"])
def test_notification_names_the_player_although_the_event_does_not(
    conn: Conn, sequencer: Sequencer, listeners: list[Conn], device: str | None
) -> None:
    """A scan that an API key submits for a code outside its organization has an event that its player does not see."""
    scan, player = uuid4(), make_player(conn)
    conn.execute(
        "INSERT INTO player_scans (id, player_id, qr_code, api_key_id, device) VALUES (%s, %s, 'unknown', %s, %s)",
        (scan, player, uuid4(), device),
    )
    (event,) = sequencer.number(limit=BATCH)
    assert event.player_id is None
    listeners[0].execute("SELECT")
    (notification,) = listeners[0].notifies(timeout=0)
    assert json.loads(notification.payload) == {
        "player_id": str(player),
        "qr_code": "unknown",
        "scan_id": str(scan),
    }
