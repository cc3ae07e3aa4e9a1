"""Every field of a code changes a verdict, an image or a page. A field that changes nothing fails."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from flask import Flask
from pydantic import BaseModel

from shared.codes.rules import CodeDefinition
from shared.codes.schemas import CodeBody
from shared.imports.csv_cells import COLUMNS
from shared.infra.db import Conn
from tests.codes.factories import PUZZLE, create
from tests.quests.scan_quests import come_to, make_quest
from tests.support.callers import SignedInPlayer, Staff, sign_in
from workers.scans import judge_pending

PLACE: dict[str, Any] = {"latitude": 52.0, "longitude": 4.9}
GEM: dict[str, Any] = {"item": "gem", "quantity": 1}
ENCOUNTER: dict[str, Any] = {"scan_type": "encounter", "reward": GEM, "encounter": PUZZLE}
NOW = datetime.now(UTC)
BEFORE, AFTER = ((NOW + timedelta(days=days)).isoformat() for days in (-1, 1))


@dataclass
class Visitor:
    """A new player at a code that was created with some fields."""

    app: Flask
    client: Any
    conn: Conn
    staff: Staff
    code: Mapping[str, Any]
    player: SignedInPlayer

    def scan(self, text: str | None = None, **fields: Any) -> dict[str, Any]:
        """Return the verdict without ids and times."""
        body = {"player_id": str(self.player.id), "qr_code": text or self.code["code"]} | fields
        accepted = self.client.post("/scan", json=body, headers=self.player.headers).json
        judge_pending()
        verdict = self.client.get(accepted["result_url"], headers=self.player.headers).json
        seen = {name: value for name, value in verdict.items() if not name.endswith(("_id", "_at", "qr_code"))}
        seen.get("encounter", {}).pop("id", None)
        return seen

    def scan_twice(self) -> list[dict[str, Any]]:
        return [self.scan(), self.scan()]

    def scan_with_another(self) -> list[dict[str, Any]]:
        """Let another player scan first."""
        other = Visitor(**vars(self) | {"player": sign_in(self.app, self.conn)})
        return [other.scan(), self.scan()]

    def answer(self, text: str) -> tuple[Any, ...]:
        """Scan, and answer the puzzle."""
        self.scan()
        path = f"/encounters/{self.code['encounter']['id']}/solve"
        response = self.client.post(path, json={"answer": text}, headers=self.player.headers)
        return response.status_code, response.json.get("solved"), response.json.get("attempts_left")

    def open(self) -> tuple[int, str | None, str]:
        """Return the response to the printed address, without the text of the code."""
        response = self.client.get(f"/s/{self.code['code']}")
        return response.status_code, response.headers.get("Location"), response.text.replace(self.code["code"], "")

    def step_digits(self) -> int:
        """Return the length of the number of the current step."""
        path = f"{self.staff.codes}/{self.code['id']}/rotating"
        text = self.client.get(path, headers=self.staff.admin.headers).json["text"]
        return len(text.partition("?t=")[2].partition(".")[0])

    def advance_quest(self) -> tuple[int, int, int]:
        self.scan()
        return come_to(self.conn, self.player.id)


@dataclass(frozen=True)
class Effect:
    """Two values of a field, and what differs between them for a visitor. `others` are the other fields."""

    values: tuple[Any, Any]
    observe: Callable[[Visitor], object] = Visitor.scan
    others: dict[str, Any] = field(default_factory=dict)


def at_place(visitor: Visitor) -> object:
    return visitor.scan(**PLACE)


def one_kilometer_off(visitor: Visitor) -> object:
    return visitor.scan(latitude=52.009, longitude=4.9)


def two_hours_late(visitor: Visitor) -> object:
    return visitor.scan(scanned_at=(datetime.now(UTC) - timedelta(hours=2)).isoformat())


PRESENT = PLACE | {"requires_location": True}
EFFECTS: dict[str, Effect] = {
    "code": Effect(("gate-1", "gate-2"), lambda visitor: visitor.scan("gate-1")),
    "description": Effect(("North", "South"), Visitor.open),
    "scan_type": Effect(("item_drop", "transportation"), others={"reward": GEM, "destination_code": "east"}),
    "requires_location": Effect((True, False), others=PLACE),
    "latitude": Effect((52.0, 53.0), at_place, PRESENT),
    "longitude": Effect((4.9, 5.9), at_place, PRESENT),
    "radius_m": Effect((50, 2_000), one_kilometer_off, PRESENT),
    "reward": Effect((None, GEM)),
    "reward.item": Effect(({"item": "gem", "quantity": 1}, {"item": "pearl", "quantity": 1})),
    "reward.quantity": Effect(({"item": "gem", "quantity": 1}, {"item": "gem", "quantity": 2})),
    "encounter": Effect((None, PUZZLE), others={"scan_type": "encounter"}),
    "encounter.puzzle_type": Effect((PUZZLE, PUZZLE | {"puzzle_type": "hacking"}), others=ENCOUNTER),
    "encounter.difficulty_level": Effect((PUZZLE, PUZZLE | {"difficulty_level": 9}), others=ENCOUNTER),
    "encounter.data": Effect((PUZZLE, PUZZLE | {"data": {}}), others=ENCOUNTER),
    "encounter.solution": Effect(
        (PUZZLE, PUZZLE | {"solution": "open barley"}), lambda visitor: visitor.answer("open sesame"), ENCOUNTER
    ),
    "encounter.max_attempts": Effect(
        (PUZZLE, PUZZLE | {"max_attempts": 1}), lambda visitor: visitor.answer("open barley"), ENCOUNTER
    ),
    "destination_code": Effect(("east", "west"), others={"scan_type": "transportation"}),
    "target_url": Effect(("https://a.example/", "https://b.example/"), Visitor.open, {"scan_type": None}),
    "active": Effect((True, False)),
    "starts_at": Effect((BEFORE, AFTER)),
    "expires_at": Effect((BEFORE, AFTER)),
    "max_scans": Effect((1, 2), Visitor.scan_with_another),
    "per_player_limit": Effect((1, 2), Visitor.scan_twice),
    "cooldown_seconds": Effect((0, 3_600), Visitor.scan_twice, {"per_player_limit": None}),
    "offline_hours": Effect((0, 3), two_hours_late),
    # A few microseconds, and a day.
    "answer_within_hours": Effect((1e-9, 24), lambda visitor: visitor.answer("open sesame"), ENCOUNTER),
    "rotating": Effect((True, False)),
    "rotation_seconds": Effect((30, 3_600), Visitor.step_digits, {"rotating": True}),
    "tags": Effect(([], ["landmark"]), Visitor.advance_quest),
}


def walk(model: type[BaseModel]) -> Iterator[str]:
    """Yield the names of all fields, those of nested objects after the name of their field and a dot."""
    for name, info in model.model_fields.items():
        yield name
        for part in (info.annotation, *get_args(info.annotation)):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from (f"{name}.{nested}" for nested in walk(part))


def test_every_field_has_an_effect() -> None:
    assert EFFECTS.keys() == set(walk(CodeBody)), "add two values of the field, and what differs between them"
    assert {field.name for field in fields(CodeDefinition)} == CodeBody.model_fields.keys()
    nested = {name.replace(".", "_") for name in EFFECTS if "." in name}
    assert set(COLUMNS) == {name for name in EFFECTS if "." not in name} - {"reward", "encounter"} | nested


@pytest.mark.parametrize("name", EFFECTS)
def test_field_changes_a_verdict_or_a_page(app: Flask, client: Any, conn: Conn, staff: Staff, name: str) -> None:
    effect = EFFECTS[name]
    make_quest(conn, staff.org_id, tags=["landmark"])
    for text in ("east", "west"):
        assert create(client, staff, code=text).status_code == 201

    def observe(value: object) -> object:
        """Return what a new player sees of a new code. The code is then deleted, and its text can be used again."""
        created = create(client, staff, **effect.others | {name.partition(".")[0]: value})
        assert created.status_code == 201, created.json
        seen = effect.observe(Visitor(app, client, conn, staff, created.json, sign_in(app, conn)))
        path = f"{staff.codes}/{created.json['id']}"
        assert client.delete(path, headers=staff.admin.headers).status_code == 204
        return seen

    one, other = effect.values
    first = observe(one)
    # Not by chance: equal values give equal results.
    assert observe(one) == first
    assert observe(other) != first
