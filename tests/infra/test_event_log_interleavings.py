"""No consumer of the event log has a gap or a duplicate, after any interleaving of transactions, relays and crashes."""

from contextlib import ExitStack
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from shared.infra import db, event_log
from shared.infra.event_sequencer import Sequencer
from tests.support.database import empty_database
from tests.support.factories import append_event, number_events

SESSIONS, RELAYS, CONSUMERS = 3, 2, 2


class Log(RuleBasedStateMachine):
    """Transactions append to the log and end late, relays number it and crash, consumers read it."""

    def __init__(self) -> None:
        super().__init__()
        self.open = ExitStack()
        self.conn = self.open.enter_context(db.dedicated_connection())
        self.sessions = [self.open.enter_context(db.dedicated_connection()) for _ in range(SESSIONS)]
        self.appended: list[list[str]] = [[] for _ in range(SESSIONS)]
        self.committed: list[str] = []
        self.read: list[list[event_log.Event]] = [[] for _ in range(CONSUMERS)]
        self.relays: list[tuple[Any, Sequencer]] = []
        self.locked: set[str] = set()
        """Events that a transaction has locked. They delay no other, so their turn may be later."""
        self.count = 0

    @initialize()
    def start(self) -> None:
        empty_database(self.conn)
        self.relays = [self.elect() for _ in range(RELAYS)]

    def elect(self) -> tuple[Any, Sequencer]:
        conn = self.open.enter_context(db.dedicated_connection())
        return conn, Sequencer(conn)

    def begin(self, session: int) -> None:
        if self.sessions[session].info.transaction_status == psycopg.pq.TransactionStatus.IDLE:
            self.sessions[session].execute("BEGIN")

    @rule(session=st.integers(0, SESSIONS - 1), events=st.integers(1, 3))
    def append(self, session: int, events: int) -> None:
        self.begin(session)
        for _ in range(events):
            self.count += 1
            append_event(self.sessions[session], f"{session}-{self.count}")
            self.appended[session].append(f"{session}-{self.count}")

    @rule(session=st.integers(0, SESSIONS - 1))
    def append_and_undo(self, session: int) -> None:
        self.begin(session)
        with self.sessions[session].transaction(force_rollback=True):
            append_event(self.sessions[session], "undone")

    @rule(session=st.integers(0, SESSIONS - 1))
    def lock_events(self, session: int) -> None:
        self.begin(session)
        rows = self.sessions[session].execute(
            """
            SELECT type FROM events
            WHERE id IN (SELECT id FROM events ORDER BY id DESC LIMIT 2) FOR UPDATE SKIP LOCKED
            """
        )
        self.locked.update(name for (name,) in rows)

    @rule(session=st.integers(0, SESSIONS - 1), commits=st.booleans())
    def end(self, session: int, commits: bool) -> None:
        self.sessions[session].execute("COMMIT" if commits else "ROLLBACK")
        if commits:
            self.committed += self.appended[session]
        self.appended[session] = []

    @rule(relay=st.integers(0, RELAYS - 1), limit=st.integers(1, 4))
    def number(self, relay: int, limit: int) -> None:
        self.relays[relay][1].number(limit=limit)

    @rule(relay=st.integers(0, RELAYS - 1), numbers=st.booleans())
    def crash(self, relay: int, numbers: bool) -> None:
        """Lose a relay, perhaps with the transaction in which it numbers. Another one takes over."""
        conn, sequencer = self.relays[relay]
        if numbers:
            conn.execute("BEGIN")
            sequencer.number(limit=3)
        conn.close()
        self.relays[relay] = self.elect()

    @rule(consumer=st.integers(0, CONSUMERS - 1), limit=st.integers(1, 4))
    def consume(self, consumer: int, limit: int) -> None:
        read = self.read[consumer]
        read += event_log.read(self.conn, read[-1].position if read else 0, limit=limit)

    @invariant()
    def consumers_have_read_the_log_from_its_start(self) -> None:
        if not self.relays:
            return
        log = event_log.read(self.conn, 0, limit=1_000)
        assert [event.position for event in log] == list(range(1, len(log) + 1))
        for read in self.read:
            assert read == log[: len(read)]

    def teardown(self) -> None:
        try:
            if self.relays:
                for session in range(SESSIONS):
                    self.end(session, commits=True)
                last = self.relays[0][1]
                while last.number(limit=4) or last.has_more:
                    pass
                assert number_events() == []
                names = [event.type for event in event_log.read(self.conn, 0, limit=1_000)]
                assert sorted(names) == sorted(self.committed)
                for session in range(SESSIONS):
                    own = [name for name in names if name.startswith(f"{session}-") and name not in self.locked]
                    in_order = [name for name in self.committed if name.startswith(f"{session}-")]
                    assert own == [name for name in in_order if name not in self.locked]
        finally:
            self.open.close()


def run(examples: int, steps: int) -> None:
    run_state_machine_as_test(
        Log,
        settings=settings(max_examples=examples, stateful_step_count=steps, suppress_health_check=list(HealthCheck)),
    )


def test_log_is_whole_after_any_interleaving(clean: None) -> None:
    run(examples=12, steps=25)


@pytest.mark.long
def test_log_is_whole_after_any_long_interleaving(clean: None) -> None:
    run(examples=400, steps=60)
