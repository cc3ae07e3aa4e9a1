"""The export of a player's personal data: complete, without secrets, and read page by page."""

import json
import re
from typing import Any

import pytest
from flask import Flask

from shared.accounts import export
from shared.accounts.export import SECTIONS
from shared.infra.db import Conn
from tests.accounts.personal_data import EMAIL, HERE, NAME, Life, live, player_columns
from tests.quests.scan_quests import visit
from tests.support.callers import sign_in
from tests.support.factories import make_code, number_events
from web.http import file_responses


@pytest.fixture
def life(app: Flask, conn: Conn) -> Life:
    return live(app, conn)


def export_data(client: Any, headers: dict[str, str]) -> dict[str, Any]:
    response = client.get("/users/me/export", headers=headers)
    assert response.status_code == 200
    assert response.content_type == "application/json"
    assert response.headers["Content-Disposition"] == 'attachment; filename="waymark-export.json"'
    document = json.loads(response.text)
    assert isinstance(document, dict)
    return document


def test_every_section_contains_the_players_data(client: Any, conn: Conn, life: Life) -> None:
    document = export_data(client, life.ada.headers)

    assert {name for name, rows in document.items() if not rows} == set()
    assert (document["account"]["username"], document["account"]["email"]) == (NAME, EMAIL)
    rows = conn.execute("SELECT count(*) FROM player_scans WHERE player_id = %s", (life.ada.id,)).fetchone()
    assert rows == (len(document["scans"]),)
    first = document["scans"][0]
    assert (first["latitude"], first["longitude"], first["accuracy"]) == (HERE.latitude, HERE.longitude, 12.3456)
    assert {scan["status"] for scan in document["scans"]} == {"success", "failure", "held"}
    assert [scan for scan in document["scans"] if scan["puzzle_solved_at"]]
    assert {member["role"] for member in document["organizations"]} == {"admin", "member"}
    assert document["generated_codes"][0]["data"] == "text-by-ada"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", first["scan_time"])


def test_the_export_contains_neither_secrets_nor_code_locations(client: Any, conn: Conn, life: Life) -> None:
    """Three distances to a code would reveal its location."""
    text = client.get("/users/me/export", headers=life.ada.headers).text

    hashes = [row[0] for row in conn.execute("SELECT password_hash FROM credentials").fetchall()]
    assert hashes
    for secret in (*hashes, "distance", "decision_inputs", "metres", "digest", "open sesame", " 38.7"):
        assert secret not in text


def test_the_export_contains_no_data_of_other_players(app: Flask, client: Any, conn: Conn, life: Life) -> None:
    text = client.get("/users/me/export", headers=sign_in(app, conn).headers).text

    for trace in (NAME, EMAIL, str(life.ada.id), str(life.staff.org_id)):
        assert trace not in text
    assert all(json.loads(text)[section.name] == [] for section in SECTIONS if section.name != "sessions")


@pytest.mark.parametrize("page", [1, 2, 5])
def test_each_row_is_exported_once_at_any_page_size(
    app: Flask, client: Any, conn: Conn, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    ada, code = sign_in(app, conn), make_code(conn, per_player_limit=None)
    for _ in range(5):
        visit(conn, ada.id, code, coordinates=HERE)
    number_events()
    in_one_page = export_data(client, ada.headers)
    assert len(in_one_page["scans"]) == len(in_one_page["inventory"]) == 5
    assert len(in_one_page["events"]) == 15

    monkeypatch.setattr(export, "PAGE", page)

    assert export_data(client, ada.headers) | {"exported_at": None} == in_one_page | {"exported_at": None}


def test_an_export_needs_a_download_slot(client: Any, life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(client.application.extensions, file_responses.SLOTS, file_responses.slots(0))
    assert file_responses.MAX_DOWNLOADS

    assert client.get("/users/me/export", headers=life.ada.headers).status_code == 503
    assert client.get("/users/me/export").status_code == 401


NOT_EXPORTED: dict[tuple[str, str], str] = {
    ("idempotency_keys", "player_id"): "responses to other callers, deleted within 24 hours",
    ("pending_erasures", "player_id"): "the player is erased and cannot export",
    ("player_scans", "reviewed_by"): "exported as an audit log entry",
    ("quest_claims", "player_id"): "each claim is an event of a quest",
    ("quest_replay_checkpoints", "player_id"): "the position of a replay",
    ("redemption_tokens", "player_id"): "a digest, deleted within two days",
    ("scan_daily_players", "player_id"): "derived from scans",
    ("scan_all_time_players", "player_id"): "derived from scans",
}


def test_every_column_with_a_player_id_is_exported_or_explained(conn: Conn) -> None:
    def is_exported(table: str, column: str) -> bool:
        statements = (*(section.page for section in SECTIONS), export.ACCOUNT)
        return any(
            re.search(rf"\b{table}\b", statement) and re.search(rf"\b{column} = (%\(player\)s|p\.id)", statement)
            for statement in statements
        )

    not_exported = {(table, column) for table, column in player_columns(conn) if not is_exported(table, column)}

    assert not_exported == NOT_EXPORTED.keys()
