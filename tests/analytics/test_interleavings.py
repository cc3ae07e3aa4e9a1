"""Rollups equal the raw counts after any interleaving of inserts, late commits, reviews, rollups and rebuilds."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.infra import db
from shared.infra.db import Conn
from tests.analytics.expected_rollups import counted, rolled_up
from tests.analytics.factories import NOON, correct, rebuild_all, roll_up, settle, visit
from tests.support.concurrency import run_concurrently
from tests.support.database import empty_database
from tests.support.factories import make_code, make_org, make_player

TIMES = st.integers(0, 4 * 24 * 60).map(lambda minutes: NOON + timedelta(minutes=minutes))
WHO = st.integers(0, 2)
ACTIONS = st.one_of(
    st.tuples(st.just("settle"), st.integers(0, 1), WHO, WHO, st.sampled_from(["success", "failure", "held"]), TIMES),
    st.tuples(st.just("correct"), st.integers(0, 1), st.integers(0, 30), st.sampled_from(["success", "annulled"])),
    st.tuples(st.just("visit"), st.integers(0, 1), WHO, TIMES, st.sampled_from(["phone", "bot", "other"])),
    st.tuples(st.just("commit"), st.integers(0, 1)),
    st.tuples(st.just("fold")),
    st.tuples(st.just("fold twice")),
    st.tuples(st.just("rebuild")),
)
MOVES = {("held", "success"), ("held", "annulled"), ("success", "annulled")}


class Session:
    """Another connection, whose transaction stays open until a test commits it."""

    def __init__(self, conn: Conn) -> None:
        self.conn = conn
        self.open: ExitStack | None = None
        self.settled: dict[Any, str] = {}

    def begin(self) -> None:
        if self.open is None:
            self.open = ExitStack()
            self.open.enter_context(self.conn.transaction())

    def commit(self) -> None:
        if self.open is not None:
            self.open.close()
            self.open = None


@contextmanager
def sessions() -> Iterator[list[Session]]:
    with db.dedicated_connection() as first, db.dedicated_connection() as second:
        both = [Session(first), Session(second)]
        yield both
        for each in both:
            each.commit()


@given(st.lists(ACTIONS, min_size=5, max_size=40))
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rollups_equal_raw_counts_after_any_interleaving(conn: Conn, actions: list[tuple[Any, ...]]) -> None:
    """Inserts and corrections that commit late, folding once and side by side, rebuilding in between."""
    interleave(conn, actions)


@pytest.mark.long
@given(st.lists(ACTIONS, min_size=5, max_size=80))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rollups_equal_raw_counts_after_longer_interleavings(conn: Conn, actions: list[tuple[Any, ...]]) -> None:
    interleave(conn, actions)


def interleave(conn: Conn, actions: list[tuple[Any, ...]]) -> None:
    empty_database(conn)
    org = make_org(conn)
    players = [make_player(conn) for _ in range(3)]
    codes = [make_code(conn, org), make_code(conn, org), make_code(conn)]
    with sessions() as both:
        for action, *rest in actions:
            act(conn, both, players, codes, action, *rest)
    roll_up()
    final = rolled_up(conn)
    assert final == counted(conn)
    rebuild_all(conn)
    assert rolled_up(conn) == final


def act(conn: Conn, both: list[Session], players: Any, codes: Any, action: str, *rest: Any) -> None:
    plain: dict[str, Callable[[], Any]] = {
        "fold": roll_up,
        "fold twice": lambda: run_concurrently([roll_up] * 2),
        "rebuild": lambda: rebuild_all(conn),
    }
    if action in plain:
        plain[action]()
        return
    session = both[rest[0]]
    if action == "commit":
        session.commit()
        return
    session.begin()
    if action == "settle":
        _, player, code, status, at = rest
        session.settled[settle(session.conn, players[player], codes[code], status, at)] = status
    elif action == "visit":
        _, code, at, device = rest
        visit(session.conn, codes[code], at, device)
    else:
        _, which, status = rest
        scan = next(iter(list(session.settled)[which : which + 1]), None)
        if scan is not None and (session.settled[scan], status) in MOVES:
            correct(session.conn, scan, status)
            session.settled[scan] = status
