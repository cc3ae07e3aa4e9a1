"""An organization that was deleted a week ago is erased. Its scans remain counted without it."""

from functools import partial
from io import BytesIO
from typing import Any
from uuid import UUID

import psycopg
import pytest
from flask import Flask
from PIL import Image

from shared.codes import erasure, screens
from shared.imports import store as imports
from shared.infra import db
from shared.infra.db import Conn
from shared.organizations import store
from shared.quests.rewards import RewardDefinition
from tests.accounts.personal_data import find_traces
from tests.analytics.expected_rollups import counted, rolled_up
from tests.analytics.factories import roll_up
from tests.quests.scan_quests import make_quest, visit
from tests.redemptions.factories import add_token, redeem
from tests.renders.factories import add_render, list_files, work
from tests.support.callers import SignedInPlayer, Staff, make_key, make_staff, sign_in
from tests.support.factories import code_text, make_code, make_encounter, make_invitation
from workers import organizations
from workers.cleanup import purge_all

WORD = "walrus"
"""In everything that the organization defines."""
REMAINS = {
    "player_scans",
    "encounter_attempts",
    "events",
    "inventory_ledger",
    "quest_events",
    "quest_claims",
    "quest_states",
    "redemptions",
}
"""Tables with what players did, in which the word remains."""


def furnish(client: Any, conn: Conn, staff: Staff, ada: SignedInPlayer) -> dict[str, Any]:
    """Give the organization everything that it can have, and let a player scan its codes."""
    owner = staff.owner.headers
    named = {"name": f"The {WORD}", "url": f"https://{WORD}.example", "fair_play": {"burst": None}}
    assert client.patch(staff.path, json=named, headers=owner).status_code == 200
    make_quest(conn, staff.org_id, name=WORD, streak=1, reward=RewardDefinition(WORD, WORD, 1))
    quest = {"name": "trail", "description": WORD, "streak": 1, "tags": [WORD], "reward": {"item": WORD, "quantity": 1}}
    assert client.post(f"{staff.path}/quests", json=quest | {"active": True}, headers=owner).status_code == 201
    fields: dict[str, Any] = {
        "description": f"The {WORD}",
        "reward_item": WORD,
        "tags": ["landmark", WORD],
        "per_player_limit": None,
    }
    code = make_code(conn, staff.org_id, latitude=52.3731, longitude=4.8926, **fields)
    puzzle = make_code(conn, staff.org_id, scan_type="encounter", **fields)
    make_encounter(conn, puzzle, {"cipher": WORD})
    logo = BytesIO()
    Image.new("RGB", (8, 8), "red").save(logo, "PNG")
    logo.seek(0)
    image = f"{staff.codes}/{code}/customization/logo"
    assert client.put(image, data={"logo": (logo, "logo.png")}, headers=owner).status_code == 200
    screens.add(conn, staff.org_id, make_code(conn, staff.org_id, rotating=True), WORD, "token")
    visit(conn, ada.id, code)
    visit(conn, ada.id, puzzle)
    deleted = make_code(conn, staff.org_id, target_url=f"https://{WORD}.example", **fields)
    assert client.delete(f"{staff.codes}/{deleted}", headers=owner).status_code == 204
    render = add_render(conn, staff.org_id, [code])
    work()
    redeem(conn, ada.id, staff.org_id, staff.admin, item=WORD)
    limits = client.put(f"{staff.path}/items/{WORD}", json={"stock": 9}, headers=owner)
    assert limits.status_code == 200
    add_token(conn, ada.id, staff.org_id, item=WORD)
    imports.create(conn, staff.org_id, [WORD], partial=False)
    make_invitation(conn, staff.org_id, staff.stranger.id)
    roll_up()
    return {"code": code_text(conn, code), "deleted": code_text(conn, deleted), "render": render}


def close(conn: Conn, staff: Staff, days: float = 8) -> None:
    conn.execute(
        "UPDATE organizations SET closed_at = now() - make_interval(hours => %s) WHERE id = %s",
        (int(days * 24), staff.org_id),
    )


def test_an_erased_organization_leaves_what_players_did(app: Flask, client: Any, conn: Conn, staff: Staff) -> None:
    ada, other, key = sign_in(app, conn), make_staff(app, conn), make_key(conn, staff.org_id)
    things = furnish(client, conn, staff, ada)
    kept = make_code(conn, other.org_id, description="kept")
    slug = store.get_slug(conn, staff.org_id)
    mine = [f"/player/{ada.id}/{part}" for part in ("history", "inventory")]
    before = [client.get(path, headers=ada.headers).json for path in mine]
    counts = counted(conn)
    assert {table for table, _ in find_traces(conn, WORD)} > REMAINS & {"player_scans"}
    assert list_files(things["render"])

    close(conn, staff)
    assert purge_all().organizations == 1

    assert {table for table, _ in find_traces(conn, WORD)} <= REMAINS
    assert list_files(things["render"]) == []
    for player in (staff.owner, staff.member):
        assert client.get(staff.path, headers=player.headers).status_code == 404
    assert client.get(staff.codes, headers=key.headers).status_code == 401
    for text in (things["code"], things["deleted"]):
        assert client.get(f"/s/{text}").status_code == 410
        taken = client.post(other.codes, json={"code": text, "scan_type": "item_drop"}, headers=other.owner.headers)
        assert taken.status_code == 409
    assert client.get(f"/b/{slug}").status_code == 410
    assert client.patch(other.path, json={"slug": slug}, headers=other.owner.headers).status_code == 409
    after = [client.get(path, headers=ada.headers).json for path in mine]
    for scan in before[0]["scans"]:
        scan["description"] = ""
    assert after[0] == before[0]
    assert [item["quantity"] for item in after[1]["items"]] == [item["quantity"] for item in before[1]["items"]]
    assert counted(conn) == counts == rolled_up(conn)
    assert client.get(f"{other.codes}/{kept}", headers=other.owner.headers).json["description"] == "kept"
    assert purge_all().organizations == 0


def test_an_organization_is_not_erased_within_seven_days(client: Any, conn: Conn, staff: Staff) -> None:
    code = make_code(conn, staff.org_id, description=WORD)
    close(conn, staff, days=6.9)

    assert purge_all().organizations == 0

    assert client.post(f"{staff.path}/restore", headers=staff.owner.headers).status_code == 200
    assert client.get(f"{staff.codes}/{code}", headers=staff.owner.headers).json["description"] == WORD


def test_an_interrupted_erasure_is_continued(
    app: Flask, conn: Conn, staff: Staff, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of one organization does not delay the others."""
    other = make_staff(app, conn)
    for each in (staff, other):
        make_code(conn, each.org_id, description=WORD)
        close(conn, each, days=8 if each is staff else 9)
    first, *_, last = organizations.STEPS

    def fail(conn: Conn, org_id: UUID, after: UUID) -> UUID | None:
        if org_id == other.org_id:
            raise psycopg.DataError
        return last(conn, org_id, after)

    monkeypatch.setattr(organizations, "STEPS", (first, *organizations.STEPS[1:-1], fail))
    assert organizations.erase_closed() == 1
    monkeypatch.undo()

    assert organizations.erase_closed() == 1
    assert conn.execute("SELECT count(*) FROM organizations WHERE erased_at IS NULL").fetchone() == (0,)
    assert find_traces(conn, WORD) == []


def test_codes_are_erased_in_pages(conn: Conn, staff: Staff, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = (partial(erasure.erase_organization, limit=2),)
    monkeypatch.setattr(organizations, "STEPS", steps)
    for number in range(5):
        code = make_code(conn, staff.org_id, description=WORD, target_url=f"https://{WORD}.example")
        if number % 2:
            conn.execute("UPDATE qr_codes SET deleted_at = now() WHERE id = %s", (code,))
    close(conn, staff)

    assert organizations.erase_closed() == 1

    assert find_traces(conn, WORD) == []
    assert db.exactly_one(conn.execute("SELECT count(*) FROM qr_codes WHERE deleted_at IS NULL"))[0] == 0


AFTER_ERASURE: dict[tuple[str, str], str] = {
    ("api_keys", "org_id"): "revoked, without name: scans and the audit log refer to them",
    ("audit_log", "org_id"): "remains, without old and new values",
    ("code_screens", "org_id"): "deleted",
    ("code_texts", "org_id"): "remains: no other organization can use the text",
    ("events", "org_id"): "remains until its retention ends",
    ("imports", "org_id"): "deleted",
    ("inventory_ledger", "org_id"): "remains: the issuer of an item",
    ("items", "org_id"): "deleted",
    ("invitations", "org_id"): "deleted",
    ("label_templates", "org_id"): "deleted",
    ("memberships", "org_id"): "deleted",
    ("organization_designs", "org_id"): "deleted",
    ("organization_slugs", "org_id"): "remains: no other organization can use the slug",
    ("organization_usage", "org_id"): "remains: numbers",
    ("player_scans", "org_id"): "remains: what players did",
    ("qr_codes", "org_id"): "tombstones: scans refer to them",
    ("quest_claims", "org_id"): "remains: the issuer of an item",
    ("quests", "org_id"): "deleted",
    ("redemption_tokens", "org_id"): "deleted",
    ("redemptions", "org_id"): "remains: what players did",
    ("render_chunks", "org_id"): "deleted",
    ("render_jobs", "org_id"): "deleted",
    ("statistics_cache_versions", "org_id"): "remains: a random number",
}


def test_every_column_with_an_organization_has_a_rule(conn: Conn) -> None:
    rows = conn.execute(
        """
        SELECT table_name, column_name FROM information_schema.columns JOIN information_schema.tables
            USING (table_catalog, table_schema, table_name)
        WHERE table_schema = 'public' AND table_type = 'BASE TABLE' AND column_name ~ '^(org|organization)_id$'
        """
    ).fetchall()
    assert set(rows) <= AFTER_ERASURE.keys(), "add what workers/organizations.py does with it"
