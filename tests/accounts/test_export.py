"""Everything that is held on a person, told to that person."""

import json
import re
from typing import Any

import pytest
from flask import Flask

from shared.accounts import export
from shared.accounts.export import SECTIONS
from shared.infra.db import Conn
from shared.settings import settings
from tests.accounts.personal_data import EMAIL, HERE, NAME, Life, live, naming_players
from tests.quests.scan_quests import visit
from tests.support.callers import sign_in
from tests.support.factories import make_code
from web.http import file_responses


@pytest.fixture
def life(app: Flask, conn: Conn) -> Life:
    return live(app, conn)


def exported(client: Any, headers: dict[str, str]) -> dict[str, Any]:
    answer = client.get("/users/me/export", headers=headers)
    assert answer.status_code == 200
    assert answer.content_type == "application/json"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="waymark-export.json"'
    document = json.loads(answer.text)
    assert isinstance(document, dict)
    return document


def test_every_section_holds_what_is_theirs(client: Any, conn: Conn, life: Life) -> None:
    told = exported(client, life.ada.headers)

    assert {name for name, rows in told.items() if not rows} == set()
    assert (told["account"]["username"], told["account"]["email"]) == (NAME, EMAIL)
    rows = conn.execute("SELECT count(*) FROM player_scans WHERE player_id = %s", (life.ada.id,)).fetchone()
    assert rows == (len(told["scans"]),)
    first = told["scans"][0]
    assert (first["latitude"], first["longitude"], first["accuracy"]) == (HERE.latitude, HERE.longitude, 12.3456)
    assert {scan["status"] for scan in told["scans"]} == {"success", "failure", "held"}
    assert [scan for scan in told["scans"] if scan["puzzle_solved_at"]]
    assert {member["role"] for member in told["organizations"]} == {"admin", "member"}
    assert told["generated_codes"][0]["data"] == "text-by-ada"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", first["scan_time"])


def test_it_tells_neither_secrets_nor_places_that_scans_must_find(client: Any, conn: Conn, life: Life) -> None:
    """A distance to the code is a circle to look on: three of them are the place."""
    answer = client.get("/users/me/export", headers=life.ada.headers).text

    hashes = [row[0] for row in conn.execute("SELECT password_hash FROM credentials").fetchall()]
    assert hashes
    for secret in (*hashes, "distance", "facts", "open sesame", "38.7"):
        assert secret not in answer


def test_nothing_of_anybody_else(app: Flask, client: Any, conn: Conn, life: Life) -> None:
    told = client.get("/users/me/export", headers=sign_in(app, conn).headers).text

    for trace in (NAME, EMAIL, str(life.ada.id), str(life.staff.org_id)):
        assert trace not in told
    assert all(json.loads(told)[section.name] == [] for section in SECTIONS if section.name != "sessions")


def test_page_by_page_each_row_is_told_once(app: Flask, client: Any, conn: Conn, monkeypatch: Any) -> None:
    ada, code = sign_in(app, conn), make_code(conn, per_player_limit=None)
    for _ in range(5):
        visit(conn, ada.id, code, place=HERE)
    whole = exported(client, ada.headers)
    for page in (1, 2, 5):
        monkeypatch.setattr(export, "PAGE", page)
        told = exported(client, ada.headers)
        for section in SECTIONS:
            assert told[section.name] == whole[section.name]
    assert len(whole["scans"]) == len(whole["inventory"]) == 5
    assert len(whole["events"]) == 15


def test_it_takes_one_of_the_places_for_downloads(client: Any, life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(client.application.extensions, file_responses.SLOTS, file_responses.slots(0))
    assert settings().download_limit

    assert client.get("/users/me/export", headers=life.ada.headers).status_code == 503
    assert client.get("/users/me/export").status_code == 401


TOLD_ELSEWHERE: dict[tuple[str, str], str] = {
    ("idempotency_keys", "player_id"): "answers to others, deleted within a day",
    ("pending_erasures", "player_id"): "nobody is there any more to ask",
    ("player_scans", "reviewed_by"): "told by the organization's audit trail",
    ("quest_claims", "player_id"): "each is an event of a quest",
    ("quest_replay_checkpoints", "player_id"): "how far a replay has come, whoever that was",
    ("scan_daily_players", "player_id"): "derived from scans",
    ("scan_all_time_players", "player_id"): "derived from scans",
}


def test_every_column_that_names_a_player_is_told_or_explained(conn: Conn) -> None:
    def told(table: str, column: str) -> bool:
        pages = (*(section.page for section in SECTIONS), export.ACCOUNT)
        return any(
            re.search(rf"\b{table}\b", page) and re.search(rf"\b{column} = (%\(player\)s|p\.id)", page)
            for page in pages
        )

    columns = naming_players(conn)
    assert {each for each in columns if not told(*each)} == TOLD_ELSEWHERE.keys()
