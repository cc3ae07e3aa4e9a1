"""The metric of granted rewards has exactly the rewards of the ledger."""

from typing import Any
from unittest.mock import Mock

import psycopg
import pytest

from shared.infra.db import Conn
from shared.scans import settlement
from tests.encounters.factories import answer, make_puzzle, open_puzzle
from tests.quests.scan_quests import make_landmarks, make_quest, release, visit
from tests.support.callers import sign_in
from tests.support.factories import make_code, make_held_scan, make_org, make_player
from tests.support.metrics import value_of

SOURCES = ("scan", "encounter", "quest")


def counted() -> dict[str, float]:
    return {source: value_of("waymark_rewards_granted_total", source=source) for source in SOURCES}


def growth(before: dict[str, float]) -> dict[str, float]:
    return {source: count - before[source] for source, count in counted().items()}


def entered(conn: Conn) -> dict[str, int]:
    rows = conn.execute("SELECT source, count(*) FROM inventory_ledger WHERE quantity > 0 GROUP BY source").fetchall()
    return dict.fromkeys(SOURCES, 0) | dict(rows)


def test_each_grant_is_counted_once(client: Any, app: Any, conn: Conn) -> None:
    before, org, player = counted(), make_org(conn), sign_in(app, conn)
    code = make_code(conn, org, reward_item="gem", per_player_limit=None)
    for _ in range(2):
        visit(conn, player.id, code)
    held = make_held_scan(conn, player.id, code)
    conn.execute("""UPDATE player_scans SET outcome = '{"reward": "gem", "quantity": 2}' WHERE id = %s""", (held,))
    assert growth(before) == {"scan": 2, "encounter": 0, "quest": 0}
    release(held)
    puzzle, encounter = make_puzzle(conn, org, reward_item="key")
    open_puzzle(conn, player, puzzle)
    for key in ("same", "same", None):
        assert answer(client, player, encounter, key=key).status_code == 200
    make_quest(conn, org, "automatic", streak=1, duplication=9, auto_claim=True)
    make_quest(conn, org, "claimed", streak=1, duplication=9)
    for landmark in make_landmarks(conn, org, 2):
        visit(conn, player.id, landmark)
    for key, status in (("a", 200), ("a", 200), ("b", 200), ("c", 409)):
        response = client.post(
            "/api/v1/track/claim_reward",
            json={"quest_name": "claimed"},
            headers=player.headers | {"Idempotency-Key": key},
        )
        assert response.status_code == status, response.json
    assert growth(before) == entered(conn) == {"scan": 5, "encounter": 1, "quest": 4}


def test_grants_of_a_transaction_that_fails_are_not_counted(conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    before, org, player = counted(), make_org(conn), make_player(conn)
    make_quest(conn, org, streak=1, auto_claim=True)
    (landmark,) = make_landmarks(conn, org, 1, reward_item="gem")
    # The last statement before the commit.
    monkeypatch.setattr(settlement, "add_uses", Mock(side_effect=psycopg.DataError))
    visit(conn, player, landmark)
    assert growth(before) == entered(conn) == {"scan": 0, "encounter": 0, "quest": 0}
