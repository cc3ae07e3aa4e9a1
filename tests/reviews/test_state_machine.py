"""Whatever players and staff do in whatever order, and wherever it breaks off: nothing owed is unpaid, nothing is paid
twice, and what was annulled is as if it had never been."""

from contextlib import suppress
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from shared.infra import db, event_log
from shared.infra.db import Conn
from shared.scans import store as scans
from tests.encounters.factories import RIGHT, WRONG, make_puzzle
from tests.reviews.factories import location_code, status, taken
from tests.support.callers import SignedInPlayer, Staff, make_staff, sign_in
from tests.support.database import empty_database
from tests.support.factories import AMSTERDAM, LISBON, code_text, make_code
from workers.scans import judge_pending


class Crash(BaseException):
    """The process is gone."""


class Game(RuleBasedStateMachine):
    """Two players, a drop, a puzzle and a journey; a model that knows only what was answered last."""

    app: Flask
    made = Bundle("made")

    @initialize()
    def start(self) -> None:
        with db.connection() as conn:
            empty_database(conn)
            self.staff: Staff = make_staff(self.app, conn)
            org_id = self.staff.org_id
            self.players: list[SignedInPlayer] = [sign_in(self.app, conn) for _ in range(2)]
            puzzle, self.puzzle = make_puzzle(conn, org_id, reward_quantity=5, per_player_limit=2, max_attempts=2)
            make_code(conn, org_id, code="north")
            drop = make_code(conn, org_id, reward_quantity=3, per_player_limit=3, max_scans=4)
            journey = make_code(
                conn, org_id, scan_type="transportation", destination_code="north", per_player_limit=None
            )
            self.codes = [drop, puzzle, journey]
            self.texts = [code_text(conn, code) for code in self.codes]
        self.n = 0

    def post(self, person: SignedInPlayer, path: str, body: Any, crash: bool) -> Any:
        """Ask; or be cut off between the commit and the answer, and ask again; or before the commit, and again."""
        client = self.app.test_client()
        if crash:
            with pytest.MonkeyPatch.context() as broken:
                broken.setattr(event_log, "notify_relay", cut_off)
                with suppress(Crash):  # nothing was to be told: then there was nothing to be cut off from
                    client.post(path, json=body, headers=person.headers)
            client.post(path, json=body, headers=person.headers)  # committed, and its answer is lost
        return client.post(path, json=body, headers=person.headers)

    @rule(target=made, who=st.integers(0, 1), what=st.integers(0, 2), far=st.booleans(), crash=st.booleans())
    def scan(self, who: int, what: int, far: bool, crash: bool) -> UUID:
        self.n += 1
        place = LISBON if far else AMSTERDAM
        body = {"player_id": str(self.players[who].id), "qr_code": self.texts[what], "nonce": f"n{self.n}"}
        body |= {"latitude": place.latitude, "longitude": place.longitude}  # type: ignore[dict-item]
        answers = [self.post(self.players[who], "/scan", body, crash) for _ in range(2)]
        assert len({answer.json["scan_id"] for answer in answers}) == 1
        self.judge(crash=crash)
        return UUID(answers[0].json["scan_id"])

    def judge(self, *, crash: bool) -> None:
        if crash:
            with pytest.MonkeyPatch.context() as broken:
                broken.setattr(event_log, "notify_relay", cut_off)
                try:
                    judge_pending()
                except Crash:
                    with db.connection() as conn:
                        conn.execute("UPDATE player_scans SET lease_until = now() WHERE status = 'pending'")
        judge_pending()

    @rule(scan_id=made, action=st.sampled_from(["release", "annul"]), crash=st.booleans())
    def review(self, scan_id: UUID, action: str, crash: bool) -> None:
        with db.connection() as conn:
            before = status(conn, scan_id)[0]
        answer = self.post(self.staff.admin, f"{self.staff.path}/scans/{scan_id}/{action}", {}, crash)
        allowed = {("held", "release"), ("held", "annul"), ("success", "annul"), ("annulled", "annul")}
        if (before, action) in allowed:
            assert answer.json["status"] == {"release": "success", "annul": "annulled"}[action]
        else:
            assert answer.status_code == 409 or (before, action) == ("success", "release")

    @rule(who=st.integers(0, 1), right=st.booleans(), crash=st.booleans())
    def solve(self, who: int, right: bool, crash: bool) -> None:
        body = {"answer": RIGHT if right else WRONG}
        answer = self.post(self.players[who], f"/encounters/{self.puzzle}/solve", body, crash)
        assert answer.status_code in (200, 403, 409)

    @invariant()
    def all_is_paid_once(self) -> None:
        if not hasattr(self, "players"):
            return
        with db.connection() as conn:
            for player in self.players:
                owed = owed_to(conn, player.id)
                assert scans.list_inventory(conn, player.id) == ([("gem", owed)] if owed else [])
                moved = conn.execute(
                    "SELECT FROM player_scans WHERE player_id = %s AND status = 'success' AND qr_code_id = %s",
                    (player.id, self.codes[2]),
                ).rowcount
                assert location_code(conn, player.id) == ("north" if moved else None)
            assert not conn.execute("SELECT FROM player_scans WHERE status = 'pending'").rowcount
            for code in self.codes:
                counted = conn.execute(
                    "SELECT FROM player_scans WHERE qr_code_id = %s AND status IN ('success', 'held')", (code,)
                ).rowcount
                assert taken(conn, code) == counted
            assert taken(conn, self.codes[0]) <= 4
            # Each entry stands once for what it is owed for, and what was taken back was paid before.
            twice = "SELECT source, source_id FROM inventory_ledger GROUP BY 1, 2 HAVING count(*) > 1"
            assert not conn.execute(twice).rowcount
            told = conn.execute("SELECT count(*) FROM events WHERE type = 'reward_granted'").fetchone()
            assert told == conn.execute("SELECT count(*) FROM inventory_ledger WHERE quantity > 0").fetchone()
            wrong = conn.execute("SELECT FROM encounter_attempts WHERE wrong_answers > 2").rowcount
            assert not wrong


def owed_to(conn: Conn, player_id: UUID) -> int:
    """By the scans alone: three for each drop that stands, five for each puzzle that was solved."""
    row = conn.execute(
        """
        SELECT coalesce(sum(CASE WHEN s.outcome ? 'reward' THEN 3 WHEN a.solved_at IS NOT NULL THEN 5 ELSE 0 END), 0)
        FROM player_scans s LEFT JOIN encounter_attempts a ON a.scan_id = s.id
        WHERE s.player_id = %s AND s.status = 'success'
        """,
        (player_id,),
    ).fetchone()
    assert row is not None
    return int(row[0])


def cut_off(*_: Any) -> None:
    raise Crash


def run(app: Flask, examples: int, steps: int) -> None:
    machine = type("GameOfThisRun", (Game,), {"app": app})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


def test_players_and_staff_in_any_order(app: Flask, clean: None) -> None:
    run(app, examples=12, steps=12)


@pytest.mark.long
def test_players_and_staff_in_any_order_for_long(app: Flask, clean: None) -> None:
    run(app, examples=60, steps=30)
