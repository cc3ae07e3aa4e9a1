"""What a scan, and all that an earlier scan gave, are worth in each state of the code: the table of the API guide."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from shared.infra.db import Conn
from tests.encounters.factories import answer, close_puzzle, make_puzzle
from tests.quests.scan_quests import GEM, annul, make_quest, visit
from tests.support.callers import SignedInPlayer, Staff, sign_in
from tests.support.factories import code_text, make_code
from workers.scans import judge_pending

GUIDE = Path(__file__).parents[2] / "docs" / "api-guide.md"
(TABLE,) = re.findall(r"^\| now \| scan \|.*\n(?:\|.*\n)+", GUIDE.read_text(), re.MULTILINE)
ROWS = {cells[0]: cells[1:] for cells in (re.findall(r"[^|`]*\w[^|`]*", line) for line in TABLE.splitlines()[2:])}
ROWS = {state.strip(): [cell.strip() for cell in cells] for state, cells in ROWS.items()}


@dataclass(frozen=True)
class Game:
    """A drop that completes a quest, and a puzzle. The player has scanned both."""

    client: Any
    conn: Conn
    staff: Staff
    player: SignedInPlayer
    drop: UUID
    vault: UUID
    puzzle: UUID
    scans: tuple[UUID, UUID]

    def change(self, **fields: Any) -> None:
        for code in (self.drop, self.vault):
            self.call("PATCH", f"{self.staff.codes}/{code}", fields)

    def delete(self) -> None:
        for code in (self.drop, self.vault):
            self.call("DELETE", f"{self.staff.codes}/{code}")

    def call(self, method: str, path: str, body: Any = None) -> None:
        response = self.client.open(path, method=method, json=body, headers=self.staff.owner.headers)
        assert response.status_code < 300, response.text


def close(game: Game) -> None:
    name = game.client.get(game.staff.path, headers=game.staff.owner.headers).json["name"]
    game.call("DELETE", game.staff.path, {"name": name})


HOUR = timedelta(hours=1)
CHANGES: dict[str, Callable[[Game], object]] = {
    "not started": lambda game: game.change(starts_at=(datetime.now(UTC) + HOUR).isoformat()),
    "open": lambda game: game.change(description="The same code"),
    "expired": lambda game: game.change(expires_at=(datetime.now(UTC) - HOUR).isoformat()),
    "inactive": lambda game: game.change(active=False),
    "deleted": Game.delete,
    "time for the answer over": lambda game: close_puzzle(game.conn, game.scans[1]),
    "earlier scan annulled": lambda game: annul(*game.scans),
    "organization closed": close,
}
WORDS = {
    "solve": {200: "solved", 403: "refused", 410: "closed"},
    "claim": {200: "claimed", 409: "refused", 410: "closed"},
    "redeem": {201: "redeemed", 409: "refused", 410: "closed"},
}


@pytest.fixture
def game(app: Flask, client: Any, conn: Conn, staff: Staff, our_catalog: str) -> Game:
    make_quest(conn, staff.org_id, streak=1, duplication=1)
    player = sign_in(app, conn)
    drop = make_code(conn, staff.org_id, tags=["landmark"])
    vault, puzzle = make_puzzle(conn, staff.org_id)
    scans = visit(conn, player.id, drop), visit(conn, player.id, vault)
    return Game(client, conn, staff, player, drop, vault, puzzle, scans)


def test_every_state_has_a_row() -> None:
    assert list(ROWS) == list(CHANGES)


@pytest.mark.parametrize("state", CHANGES)
def test_a_state_of_the_code_is_worth_what_the_guide_says(app: Flask, game: Game, state: str) -> None:
    CHANGES[state](game)

    scanned = scan(app, game)
    solved = answer(game.client, game.player, game.puzzle)
    claimed = game.client.post("/api/v1/track/claim_reward", json={"quest_name": "walk"}, headers=game.player.headers)
    redeemed = redeem(game)

    found = (
        WORDS[action].get(response.status_code, response.text)
        for action, response in (("solve", solved), ("claim", claimed), ("redeem", redeemed))
    )
    assert [scanned, *found] == ROWS[state]
    if claimed.status_code == 200:
        assert claimed.json["reward"]["item"] == GEM.item


def scan(app: Flask, game: Game) -> str:
    """Return the reason or the status of another player's scan of the drop."""
    player = sign_in(app, game.conn)
    body = {"player_id": str(player.id), "qr_code": code_text(game.conn, game.drop)}
    scan_id = game.client.post("/scan", json=body, headers=player.headers).json["scan_id"]
    judge_pending()
    verdict = game.client.get(f"/scan/{scan_id}", headers=player.headers).json
    return str(verdict.get("reason", verdict["status"]))


def redeem(game: Game) -> Any:
    """Redeem the gem of the drop. Return the first response that is not a success, or the last."""
    asked = game.client.post("/redemptions/token", json={"item": "gem"}, headers=game.player.headers)
    if asked.status_code != 201:
        return asked
    body = {"token": asked.json["token"]}
    return game.client.post(f"{game.staff.path}/redemptions", json=body, headers=game.staff.admin.headers)
