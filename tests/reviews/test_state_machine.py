"""Players and staff act in any order, and processes crash: each reward is paid once and redeemed once; annulled scans
give nothing."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from shared.encounters import store as encounters
from shared.infra import db
from shared.infra.db import Conn
from shared.redemptions import store as redemptions
from shared.scans import settlement
from tests.encounters.factories import RIGHT, WRONG, make_puzzle
from tests.redemptions.factories import add_token, balances, redeemed
from tests.reviews.factories import location_code, status, use_count
from tests.support.callers import SignedInPlayer, Staff, make_staff, sign_in
from tests.support.crashes import Crash, crash_after
from tests.support.database import empty_database
from tests.support.factories import AMSTERDAM, LISBON, code_text, list_items, make_code
from workers.scans import judge_pending


@dataclass(frozen=True)
class Terms:
    """Quantity of the puzzle's reward, and how many wrong answers it accepts."""

    reward: int
    attempts: int


class Game(RuleBasedStateMachine):
    """Two players, an item drop, a puzzle and a transportation. The model knows only the last response."""

    app: Flask
    scans_made = Bundle("scans_made")
    redemptions_made = Bundle("redemptions_made")

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
            transportation = make_code(
                conn, org_id, scan_type="transportation", destination_code="north", per_player_limit=None
            )
            self.codes = [drop, puzzle, transportation]
            self.texts = [code_text(conn, code) for code in self.codes]
        self.n = 0
        self.terms = Terms(reward=5, attempts=2)
        self.fixed: dict[UUID, Terms] = {}
        """The terms of the puzzle at the time of each scan."""
        self.owed = [0, 0]
        self.balances = [0, 0]
        self.shortfalls = [0, 0]

    def post(self, caller: SignedInPlayer, path: str, body: Any, crash: bool, key: str | None = None) -> Any:
        """Post. With `crash`, first crash before the commit, then lose the response after it."""
        client = self.app.test_client()
        headers = caller.headers | ({"Idempotency-Key": key} if key else {})
        if crash:
            with pytest.MonkeyPatch.context() as broken:
                crash_after(broken, settlement, "append_events")
                crash_after(broken, encounters, "record_solution")
                crash_after(broken, redemptions, "pay")
                crash_after(broken, redemptions, "pay_back")
                # A request without an event does not crash.
                with suppress(Crash):
                    client.post(path, json=body, headers=headers)
            client.post(path, json=body, headers=headers)
        return client.post(path, json=body, headers=headers)

    @rule(target=scans_made, who=st.integers(0, 1), what=st.integers(0, 2), far=st.booleans(), crash=st.booleans())
    def scan(self, who: int, what: int, far: bool, crash: bool) -> UUID:
        self.n += 1
        coordinates = LISBON if far else AMSTERDAM
        body = {"player_id": str(self.players[who].id), "qr_code": self.texts[what], "nonce": f"n{self.n}"}
        body |= {"latitude": coordinates.latitude, "longitude": coordinates.longitude}  # type: ignore[dict-item]
        responses = [self.post(self.players[who], "/scan", body, crash) for _ in range(2)]
        assert len({response.json["scan_id"] for response in responses}) == 1
        self.judge(crash=crash)
        scan_id = UUID(responses[0].json["scan_id"])
        self.fixed[scan_id] = self.terms
        return scan_id

    @rule(terms=st.builds(Terms, st.integers(1, 9), st.integers(1, 3)))
    def change_the_puzzle(self, terms: Terms) -> None:
        puzzle = {"puzzle_type": "hacking", "difficulty_level": 1, "solution": RIGHT, "max_attempts": terms.attempts}
        body = {"reward": {"item": "gem", "quantity": terms.reward}, "encounter": puzzle}
        path = f"{self.staff.codes}/{self.codes[1]}"
        assert self.app.test_client().patch(path, json=body, headers=self.staff.admin.headers).status_code == 200
        self.terms = terms

    @rule(who=st.integers(0, 1))
    def let_the_time_for_answers_pass(self, who: int) -> None:
        with db.connection() as conn:
            conn.execute(
                "UPDATE encounter_attempts SET closes_at = now() WHERE player_id = %s AND closes_at IS NOT NULL",
                (self.players[who].id,),
            )

    def judge(self, *, crash: bool) -> None:
        if crash:
            with pytest.MonkeyPatch.context() as broken:
                crash_after(broken, settlement, "append_events")
                try:
                    judge_pending()
                except Crash:
                    with db.connection() as conn:
                        conn.execute("UPDATE player_scans SET lease_until = now() WHERE status = 'pending'")
        judge_pending()

    @rule(scan_id=scans_made, action=st.sampled_from(["release", "annul"]), crash=st.booleans())
    def review(self, scan_id: UUID, action: str, crash: bool) -> None:
        with db.connection() as conn:
            before = status(conn, scan_id)[0]
        response = self.post(self.staff.admin, f"{self.staff.path}/scans/{scan_id}/{action}", {}, crash)
        allowed = {("held", "release"), ("held", "annul"), ("success", "annul"), ("annulled", "annul")}
        if (before, action) == ("held", "release") and response.status_code == 409:
            # The code is sold out. Such a release is forced, or refused without any effect.
            assert "no uses left" in response.json["detail"]
        elif (before, action) in allowed:
            assert response.json["status"] == {"release": "success", "annul": "annulled"}[action]
        elif (before, action) != ("success", "release"):
            assert response.status_code == 409

    @rule(who=st.integers(0, 1), right=st.booleans(), crash=st.booleans())
    def solve(self, who: int, right: bool, crash: bool) -> None:
        body = {"answer": RIGHT if right else WRONG}
        expected = self.expected_of_solve(self.players[who].id, right=right, posts=3 if crash else 1)
        response = self.post(self.players[who], f"/encounters/{self.puzzle}/solve", body, crash)
        assert response.status_code == expected

    def expected_of_solve(self, player_id: UUID, *, right: bool, posts: int) -> int:
        """Return the status of the last of these posts. A crash undoes a right answer, but not a wrong one."""
        with db.connection() as conn:
            puzzles = conn.execute(
                """
                SELECT s.id, a.wrong_answers, a.solved_at IS NOT NULL, a.closes_at <= now()
                FROM player_scans s LEFT JOIN encounter_attempts a ON a.scan_id = s.id
                WHERE s.player_id = %s AND s.status = 'success' AND s.outcome ? 'encounter' ORDER BY s.id
                """,
                (player_id,),
            ).fetchall()
        if not puzzles:
            return 403
        if any(is_solved for _, _, is_solved, _ in puzzles):
            return 200
        attempts_left = sum(
            self.fixed[scan_id].attempts - wrong for scan_id, wrong, _, is_over in puzzles if not is_over
        )
        if attempts_left >= (1 if right else posts):
            return 200
        *_, (_, _, _, is_last_over) = puzzles
        return 410 if is_last_over else 409

    @rule(target=redemptions_made, who=st.integers(0, 1), quantity=st.integers(1, 5), crash=st.booleans())
    def redeem(self, who: int, quantity: int, crash: bool) -> Any:
        self.n += 1
        with db.connection() as conn:
            token = add_token(conn, self.players[who].id, self.staff.org_id, quantity, "gem")
        path, body = f"{self.staff.path}/redemptions", {"token": token}
        response = self.post(self.staff.admin, path, body, crash, f"n{self.n}")
        if self.balances[who] < quantity:
            assert response.status_code == 409
            return multiple()
        assert response.status_code == 201
        self.balances[who] -= quantity
        assert response.json["balance"] == self.balances[who]
        again = self.post(self.staff.admin, path, body, crash=False)
        assert (again.status_code, again.json["redemption"]["id"]) == (409, response.json["id"])
        return who, quantity, response.json["id"]

    @rule(redemption=consumes(redemptions_made), crash=st.booleans())
    def undo(self, redemption: Any, crash: bool) -> None:
        self.n += 1
        who, quantity, redemption_id = redemption
        path = f"{self.staff.path}/redemptions/{redemption_id}/undo"
        response = self.post(self.staff.admin, path, None, crash, f"n{self.n}")
        assert response.status_code == 200
        covered = min(quantity, self.shortfalls[who])
        self.shortfalls[who] -= covered
        self.balances[who] += quantity - covered
        assert response.json["balance"] == self.balances[who]
        assert self.post(self.staff.admin, path, None, crash=False).status_code == 409

    def follow(self, who: int, owed: int) -> None:
        """Change the balance of the model by what scans give now. An annulment takes what is left."""
        change, self.owed[who] = owed - self.owed[who], owed
        self.shortfalls[who] += max(0, -change - self.balances[who])
        self.balances[who] = max(0, self.balances[who] + change)

    @invariant()
    def rewards_are_paid_once(self) -> None:
        if not hasattr(self, "players"):
            return
        with db.connection() as conn:
            for who, player in enumerate(self.players):
                self.follow(who, owed_to(conn, player.id, self.fixed))
                balance = self.balances[who]
                assert list_items(conn, player.id) == ([("gem", balance)] if balance else [])
                assert balances(conn, player.id) == (balance, self.shortfalls[who])
                moved = conn.execute(
                    "SELECT FROM player_scans WHERE player_id = %s AND status = 'success' AND qr_code_id = %s",
                    (player.id, self.codes[2]),
                ).rowcount
                assert location_code(conn, player.id) == ("north" if moved else None)
            assert not conn.execute("SELECT FROM player_scans WHERE status = 'pending'").rowcount
            for code in self.codes:
                counted = conn.execute(
                    "SELECT FROM player_scans WHERE qr_code_id = %s AND status = 'success'", (code,)
                ).rowcount
                assert use_count(conn, code) == counted
            assert use_count(conn, self.codes[0]) <= 4
            duplicates = "SELECT source, source_id FROM inventory_ledger GROUP BY 1, 2 HAVING count(*) > 1"
            assert not conn.execute(duplicates).rowcount
            granted = conn.execute("SELECT count(*) FROM events WHERE type = 'reward_granted'").fetchone()
            gifts = "SELECT count(*) FROM inventory_ledger WHERE quantity > 0 AND source <> 'redemption_undo'"
            assert granted == conn.execute(gifts).fetchone()
            assert redeemed(conn, self.staff.org_id) == sum(self.owed) + sum(self.shortfalls) - sum(self.balances)
            for scan_id, wrong_answers in conn.execute("SELECT scan_id, wrong_answers FROM encounter_attempts"):
                assert wrong_answers <= self.fixed[scan_id].attempts


def owed_to(conn: Conn, player_id: UUID, fixed: Mapping[UUID, Terms]) -> int:
    """Return the gems that the scans give: three per successful drop, and the fixed reward of each solved puzzle."""
    rows = conn.execute(
        """
        SELECT s.id, s.outcome ? 'reward'
        FROM player_scans s LEFT JOIN encounter_attempts a ON a.scan_id = s.id
        WHERE s.player_id = %s AND s.status = 'success' AND (s.outcome ? 'reward' OR a.solved_at IS NOT NULL)
        """,
        (player_id,),
    )
    return sum(3 if is_drop else fixed[scan_id].reward for scan_id, is_drop in rows)


def run(app: Flask, examples: int, steps: int) -> None:
    machine = type("GameOfThisRun", (Game,), {"app": app})
    run_state_machine_as_test(
        machine,
        settings=settings(max_examples=examples, stateful_step_count=steps, suppress_health_check=list(HealthCheck)),
    )


def test_rewards_are_paid_once_in_any_order(app: Flask, clean: None) -> None:
    run(app, examples=12, steps=12)


@pytest.mark.long
def test_rewards_are_paid_once_in_any_long_order(app: Flask, clean: None) -> None:
    run(app, examples=60, steps=30)
