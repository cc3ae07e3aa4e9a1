"""Quests that scans advance, inserted into PostgreSQL, and the invariants of all quests."""

from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

from shared.infra import db
from shared.infra.db import Conn
from shared.infra.ids import uuid7
from shared.quests import definitions, store
from shared.quests.definitions import QuestDefinition
from shared.quests.recount import actions_of, recount, retracted_scans
from shared.quests.rewards import RewardDefinition
from shared.quests.rules import QuestState, fold
from shared.reviews import store as reviews
from shared.reviews.store import Review
from tests.support.factories import make_code, submit_scan
from workers import scans as worker

GEM = RewardDefinition("A gem", "ruby", 3)


def make_quest(conn: Conn, org_id: UUID | None, name: str = "walk", **fields: Any) -> QuestDefinition:
    """A quest of three visits, any codes tagged `landmark`, switched on."""
    usual: dict[str, Any] = {"name": name, "streak": 3, "duplication": 2, "tags": ["landmark"], "reward": GEM}
    definition = QuestDefinition(**usual | fields)
    definitions.save(conn, definition)
    if org_id is not None:
        assert definitions.set_organization(conn, name, org_id)
    return definition


def make_landmarks(conn: Conn, org_id: UUID, n: int = 3, **fields: Any) -> list[UUID]:
    fields = {"tags": ["landmark"], "per_player_limit": None} | fields
    return [make_code(conn, org_id, **fields) for _ in range(n)]


def visit(conn: Conn, player_id: UUID, code_id: UUID, **fields: Any) -> UUID:
    """Submit and judge a scan."""
    scan_id = submit_scan(conn, player_id, code_id, **{"nonce": str(uuid7())} | fields)
    worker.judge_pending()
    return scan_id


def annul(*scan_ids: UUID) -> None:
    """Review the scan, as staff do."""
    _review(reviews.annul, scan_ids)


def release(scan_id: UUID) -> None:
    """Review the scan, as staff do."""
    _review(reviews.release, [scan_id])


def _review(decide: Callable[[Conn, Review, UUID, UUID], object], scan_ids: Iterable[UUID]) -> None:
    with db.transaction() as conn:
        for scan_id in scan_ids:
            row = conn.execute(
                "SELECT q.org_id FROM player_scans s JOIN qr_codes q ON q.id = s.qr_code_id WHERE s.id = %s", (scan_id,)
            ).fetchone()
            assert row is not None
            scan = reviews.lock(conn, row[0], scan_id)
            assert scan is not None
            decide(conn, scan, row[0], scan.player_id)


def state_of(conn: Conn, player_id: UUID, quest: str = "walk") -> QuestState:
    return store.load_states(conn, player_id).get(quest, QuestState())


def come_to(conn: Conn, player_id: UUID, quest: str = "walk") -> tuple[int, int, int]:
    """Progress, completions and claims."""
    state = state_of(conn, player_id, quest)
    return state.progress, state.completions, state.claims


def owned(conn: Conn, player_id: UUID, item: str = "ruby") -> int:
    row = conn.execute(
        "SELECT coalesce(sum(quantity), 0) FROM inventory_ledger WHERE player_id = %s AND item = %s", (player_id, item)
    ).fetchone()
    assert row is not None
    return int(row[0])


def assert_in_order(conn: Conn) -> None:
    """Assert that states are folds of their events, and what the actions lead to in the order of their own time. Each
    claim was paid once, and each revoked one paid back."""
    keys = conn.execute("SELECT player_id, quest FROM quest_states").fetchall()
    logs = store.load_events(conn, [(player_id, quest) for player_id, quest in keys])
    assert len(logs) == len(keys)
    for (player_id, quest), events in logs.items():
        state = state_of(conn, player_id, quest)
        assert fold(events) == state
        if any(event.scan_id for event in events):
            in_time = recount(actions_of(events, retracted_scans(events))).state
            assert (state.progress, state.completions, state.steps) == (
                in_time.progress,
                in_time.completions,
                in_time.steps,
            )
        assert 0 <= state.claims <= state.completions
        standing = conn.execute(
            """
            SELECT array_agg(completion ORDER BY completion) FROM quest_claims
            WHERE player_id = %s AND quest = %s AND revoked_at IS NULL
            """,
            (player_id, quest),
        ).fetchone()
        assert standing == (list(range(1, state.claims + 1)) or None,)
    unbalanced = conn.execute(
        """
        SELECT c.id, c.item, c.quantity FROM quest_claims c
        WHERE (SELECT coalesce(sum(quantity), 0) FROM inventory_ledger l
               WHERE l.source_id = c.id AND l.item = c.item AND l.player_id = c.player_id
                 AND l.org_id IS NOT DISTINCT FROM c.org_id)
              <> CASE WHEN revoked_at IS NULL THEN c.quantity ELSE 0 END
        """
    ).fetchall()
    assert unbalanced == []
    unowed = conn.execute(
        "SELECT FROM inventory_ledger WHERE source = 'quest' AND source_id NOT IN (SELECT id FROM quest_claims)"
    ).fetchall()
    assert unowed == []


def read_live_events(conn: Conn, player_id: UUID) -> list[tuple[str, dict[str, Any]]]:
    """Return the live events of the player's quests, in order."""
    return conn.execute(
        "SELECT type, data FROM events WHERE player_id = %s AND data ? 'quest' ORDER BY id", (player_id,)
    ).fetchall()
