"""Races of a hundred requests, each with its negative control."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest

from shared.errors import DomainError
from shared.infra import db
from shared.infra.db import Conn
from shared.quests import commands, store
from shared.quests.commands import QuestCommand
from shared.quests.rules import Quest, QuestReward
from tests.quests.scan_quests import assert_in_order, come_to, make_landmarks, make_quest, owned, visit
from tests.support.callers import SignedInPlayer
from tests.support.concurrency import Rendezvous, run_concurrently
from tests.support.factories import list_items, make_player

QUEST = Quest("three", streak=3, duplication=10, reward=QuestReward("coin", 10))


def act(player_id: UUID, *, claims: bool = False, quest: Quest = QUEST) -> str:
    """Execute one command on its own connection. Return its result."""
    with db.connection() as conn:
        (outcome,) = commands.execute(conn, [QuestCommand(player_id, quest, claims)], datetime.now(UTC))
    return type(outcome).__name__ if isinstance(outcome, DomainError) else "done"


def test_a_hundred_claims_of_one_completion_pay_once(conn: Conn) -> None:
    player = make_player(conn)
    for _ in range(3):
        act(player)
    outcomes = Counter(run_concurrently([lambda: act(player, claims=True)] * 100))
    assert outcomes == {"done": 1, "QuestNotCompleted": 99}
    assert list_items(conn, player) == [("coin", 10)]
    assert_in_order(conn)


def test_a_hundred_sign_ins_are_a_hundred_steps(conn: Conn) -> None:
    player = make_player(conn)
    assert Counter(run_concurrently([lambda: act(player)] * 100)) == {"done": 100}
    assert come_to(conn, player, "three") == (0, 10, 0), "the last ones find it completed as often as allowed"
    assert conn.execute("SELECT count(*) FROM quest_events").fetchone() == (110,)
    assert_in_order(conn)


def test_concurrent_sign_ins_and_claims_pay_each_completion_once(conn: Conn) -> None:
    player = make_player(conn)
    for _ in range(4):
        run_concurrently([lambda: act(player), lambda: act(player, claims=True)] * 10)
    while act(player, claims=True) == "done":
        pass
    assert come_to(conn, player, "three") == (0, 10, 10)
    assert list_items(conn, player) == [("coin", 100)]
    assert_in_order(conn)


def claim_between(monkeypatch: pytest.MonkeyPatch, player: UUID) -> list[str]:
    """Run two claims that both read the state before either writes."""
    meeting, standings = Rendezvous(), store.load_player_quests
    seen: list[int] = []

    def read_and_meet(*arguments: Any) -> Any:
        found = standings(*arguments)
        seen.append(1)
        if len(seen) <= 2:
            meeting.wait()
        return found

    monkeypatch.setattr(store, "load_player_quests", read_and_meet)
    return run_concurrently([lambda: act(player, claims=True)] * 2)


def ignore_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an append overwrite a state that changed after it was read."""
    condition = " AND s.version = c.before"
    assert condition in store.APPEND
    monkeypatch.setattr(store, "APPEND", store.APPEND.replace(condition, ""))


def test_of_two_claims_that_read_the_same_state_one_is_paid(conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    player = make_player(conn)
    for _ in range(3):
        act(player)
    assert sorted(claim_between(monkeypatch, player)) == ["QuestNotCompleted", "done"]
    assert owned(conn, player, "coin") == 10


def test_negative_control_without_the_version_the_constraint_rejects(
    conn: Conn, monkeypatch: pytest.MonkeyPatch
) -> None:
    player = make_player(conn)
    for _ in range(3):
        act(player)
    ignore_versions(monkeypatch)
    with pytest.raises(psycopg.errors.UniqueViolation):
        claim_between(monkeypatch, player)
    assert owned(conn, player, "coin") == 10


def test_negative_control_without_constraints_a_claim_is_paid_twice(
    conn: Conn, monkeypatch: pytest.MonkeyPatch
) -> None:
    player = make_player(conn)
    for _ in range(3):
        act(player)
    ignore_versions(monkeypatch)
    conn.execute("ALTER TABLE quest_events DROP CONSTRAINT quest_events_pkey")
    conn.execute("DROP INDEX quest_claims_completion_key")
    try:
        assert claim_between(monkeypatch, player) == ["done", "done"]
        assert owned(conn, player, "coin") == 20
    finally:
        conn.execute("TRUNCATE quest_events, quest_claims")
        conn.execute(
            """
            ALTER TABLE quest_events ADD CONSTRAINT quest_events_pkey PRIMARY KEY (player_id, quest, version);
            CREATE UNIQUE INDEX quest_claims_completion_key ON quest_claims (player_id, quest, completion)
                WHERE revoked_at IS NULL
            """
        )


def test_claims_race_the_scans_that_complete_the_quest(
    conn: Conn, player_of_landmarks: tuple[UUID, list[UUID]]
) -> None:
    """Settling locks the state, and the claim reads it again."""
    player, codes = player_of_landmarks
    quest = Quest("walk", streak=3, duplication=2, reward=QuestReward("ruby", 3), by_scans=True)
    for round_ in range(2):
        for code in codes[:-1]:
            visit(conn, player, code)
        run_concurrently(
            [lambda: str(visit(conn, player, codes[-1])), *[lambda: act(player, claims=True, quest=quest)] * 10]
        )
        while act(player, claims=True, quest=quest) == "done":
            pass
        assert come_to(conn, player) == (0, round_ + 1, round_ + 1)
    assert owned(conn, player) == 6
    assert_in_order(conn)


@pytest.fixture
def player_of_landmarks(conn: Conn) -> tuple[UUID, list[UUID]]:
    from tests.support.factories import make_org

    org = make_org(conn)
    make_quest(conn, org)
    return make_player(conn), make_landmarks(conn, org)


def test_concurrent_retries_run_one_request(
    client: Any, our_catalog: str, app: Any, conn: Conn, ada: SignedInPlayer
) -> None:
    """With the same key, one request runs, and the others get its response or a conflict."""

    def sign_in(_: int = 0) -> int:
        headers = {**ada.headers, "Idempotency-Key": "k"}
        return int(app.test_client().post("/api/v1/track/signin", headers=headers).status_code)

    assert set(run_concurrently([sign_in] * 20)) <= {200, 409}
    assert conn.execute("SELECT count(*) FROM quest_events").fetchone() == (1,)


def test_claims_of_one_press_pay_once(client: Any, our_catalog: str, app: Any, conn: Conn, ada: SignedInPlayer) -> None:
    assert client.post("/api/v1/track/signup", headers=ada.headers).json["status"] == "completed"

    def claim() -> int:
        body = {"quest_name": "sign-up"}
        return int(app.test_client().post("/api/v1/track/claim_reward", json=body, headers=ada.headers).status_code)

    assert Counter(run_concurrently([claim] * 20)) == {200: 1, 409: 19}
    assert len(list_items(conn, ada.id)) == 1
