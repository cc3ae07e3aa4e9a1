"""Texts of renamed and deleted codes: what they lead to, for players, visitors and other organizations."""

from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from shared.infra.db import Conn
from tests.codes.factories import create, update
from tests.conftest import Player
from tests.imports.factories import bulk, table, upload
from tests.support.callers import Staff, make_staff
from workers.scans import judge_pending

TARGET = "https://museum.example/visit"


@pytest.fixture
def renamed(client: Any, staff: Staff) -> str:
    """The id of a code that was renamed from `old` to `new`."""
    qr_id = str(create(client, staff, code="old", reward={"item": "gem", "quantity": 1}).json["id"])
    assert update(client, staff, qr_id, code="new").status_code == 200
    return qr_id


def scan(client: Any, player: Player, text: str) -> Any:
    body = {"player_id": str(player.id), "qr_code": text}
    scan_id = client.post("/scan", json=body, headers=player.headers).json["scan_id"]
    judge_pending()
    return client.get(f"/scan/{scan_id}", headers=player.headers).json


def list_aliases(client: Any, staff: Staff, qr_id: str, query: str = "") -> Any:
    return client.get(f"{staff.codes}/{qr_id}/aliases{query}", headers=staff.member.headers).json


def delete_alias(client: Any, staff: Staff, qr_id: str, alias: str) -> int:
    return int(client.delete(f"{staff.codes}/{qr_id}/aliases/{alias}", headers=staff.admin.headers).status_code)


def test_alias_opens_scans_and_names_the_renamed_code(client: Any, staff: Staff, player: Player, renamed: str) -> None:
    assert scan(client, player, "https://x.example/s/old")["reward"] == "gem"
    assert client.get("/qr/old", headers=player.headers).json["code"] == "new"
    assert client.get("/s/old").status_code == 200
    assert [alias["code"] for alias in list_aliases(client, staff, renamed)["items"]] == ["old"]

    update(client, staff, renamed, scan_type=None, target_url=TARGET)
    assert client.get("/s/old").headers["Location"] == TARGET


def test_aliases_are_listed_by_text_page_by_page(client: Any, staff: Staff, renamed: str) -> None:
    for text in ("third", "fourth", "old", "fifth"):
        assert update(client, staff, renamed, code=text).status_code == 200
    listed, query = [], "?limit=2"
    while query:
        page = list_aliases(client, staff, renamed, query)
        listed += [alias["code"] for alias in page["items"]]
        query = page["next_cursor"] and f"?limit=2&cursor={page['next_cursor']}"
    assert listed == ["fourth", "new", "old", "third"]


@pytest.mark.parametrize("deleted", ["alias", "code"])
def test_deleted_text_is_410_for_everyone(
    client: Any, conn: Conn, staff: Staff, player: Player, renamed: str, deleted: str
) -> None:
    if deleted == "alias":
        assert delete_alias(client, staff, renamed, "old") == 204
        entry = conn.execute("SELECT object_id, old FROM audit_log WHERE action = 'alias.deleted'").fetchone()
        assert entry == (renamed, {"code": "old"})
    else:
        client.delete(f"{staff.codes}/{renamed}", headers=staff.admin.headers)

    page = client.get("/s/old")
    assert (page.status_code, "no longer in use" in page.text) == (410, True)
    assert client.get("/qr/old", headers=player.headers).status_code == 410
    assert scan(client, player, "old")["reason"] == "unknown_code"
    assert client.get("/s/new").status_code == (200 if deleted == "alias" else 410)


def test_only_an_alias_of_this_code_can_be_deleted(
    client: Any, app: Flask, conn: Conn, staff: Staff, renamed: str
) -> None:
    other, stranger = create(client, staff, code="other").json["id"], make_staff(app, conn)
    for alias in ("new", "other", "never", "%00", "%ff"):
        assert delete_alias(client, staff, renamed, alias) == 404
    assert delete_alias(client, staff, other, "old") == 404
    assert delete_alias(client, stranger, renamed, "old") == 404
    assert client.get("/s/old").status_code == 200


@pytest.mark.parametrize("state", ["alias", "deleted alias", "deleted code"])
def test_no_other_organization_can_use_a_text(
    client: Any, app: Flask, conn: Conn, staff: Staff, renamed: str, state: str
) -> None:
    if state == "deleted alias":
        delete_alias(client, staff, renamed, "old")
    if state == "deleted code":
        client.delete(f"{staff.codes}/{renamed}", headers=staff.admin.headers)
    other, body = make_staff(app, conn), {"scan_type": "item_drop", "code": "old"}
    own = create(client, other).json["id"]

    refused = create(client, other, code="old")
    assert (refused.status_code, update(client, other, own, code="old").status_code) == (409, 409)
    assert "stays with" in refused.json["detail"]
    for response in (bulk(client, other, body), upload(client, other, table(body))):
        assert (response.status_code, response.json["errors"][0]["message"]) == (422, "This code text is taken.")
    assert owners(conn, "old") in ([staff.org_id], [])


@pytest.mark.parametrize("way", ["create", "rename", "bulk", "import"])
def test_organization_can_use_the_text_of_a_deleted_code_again(
    client: Any, conn: Conn, staff: Staff, renamed: str, way: str
) -> None:
    other, body = create(client, staff).json["id"], {"scan_type": "item_drop", "code": "old"}
    ways = {
        "create": lambda: create(client, staff, code="old"),
        "rename": lambda: update(client, staff, other, code="old"),
        "bulk": lambda: bulk(client, staff, body),
        "import": lambda: upload(client, staff, table(body)),
    }
    assert ways[way]().status_code in (409, 422), "it is an alias of another code"

    client.delete(f"{staff.codes}/{renamed}", headers=staff.admin.headers)
    assert ways[way]().status_code in (200, 201)
    assert owners(conn, "old") == [staff.org_id]
    assert client.get("/s/old").status_code == 200


def owners(conn: Conn, text: str) -> list[UUID]:
    """The organization of the code that the text leads to."""
    rows = conn.execute(
        """
        SELECT q.org_id FROM code_texts t JOIN qr_codes q ON q.id = t.qr_code_id AND q.deleted_at IS NULL
        WHERE t.code = %s
        """,
        (text,),
    )
    return [row[0] for row in rows]
