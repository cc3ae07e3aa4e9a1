"""Scans as a CSV file, the number of held scans, and the names of players."""

import csv
from datetime import timedelta
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest

from shared.infra.db import Conn
from shared.reviews import known_players
from shared.scans.rules import Coordinates
from tests.analytics.factories import roll_up
from tests.reviews.test_scan_list import NOON, insert
from tests.support.callers import SignedInPlayer, Staff
from tests.support.factories import make_code, make_held_scan, make_org, make_player, submit_scan
from web.api import scan_list
from web.api.scan_list import COLUMNS


def read_csv(response: Any) -> list[dict[str, str]]:
    assert response.status_code == 200, response.text
    assert response.content_type == "text/csv; charset=utf-8; header=present"
    return list(csv.DictReader(StringIO(response.text, newline="")))


def as_cell(value: Any) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


@pytest.mark.parametrize("role", ["analyst", "admin"])
def test_csv_has_the_rows_of_the_list(
    client: Any, conn: Conn, staff: Staff, monkeypatch: pytest.MonkeyPatch, role: str
) -> None:
    """Page by page: each cell is the value in the list, for every role and condition."""
    monkeypatch.setattr(scan_list, "PAGE_SIZE", 2)
    code = make_code(conn, staff.org_id, tags=["red"])
    players = [make_player(conn), make_player(conn)]
    for n in range(7):
        verdict = [("success", None), ("failure", "cooldown"), ("held", "burst"), ("pending", None)][n % 4]
        insert(conn, players[n % 2], code, NOON + timedelta(minutes=n // 2), *verdict)
    insert(conn, players[0], make_code(conn, make_org(conn)), NOON)
    headers = staff[role].headers

    for query in (
        "",
        "status=any",
        "status=any&tag=red&until=2026-06-01T12:02:00Z",
        f"status=any&player={players[1]}",
        "status=failure&reason=cooldown&since=2026-06-01T12:00:00Z",
        "status=any&code=unknown",
    ):
        listed = client.get(f"{staff.path}/scans?{query}", headers=headers).json["items"]
        rows = read_csv(client.get(f"{staff.path}/scans.csv?{query}", headers=headers))
        assert rows == [{name: as_cell(item[name]) for name in COLUMNS} for item in listed], query
    everything = client.get(f"{staff.path}/scans.csv?status=any", headers=headers).text
    assert everything.count("\r\n") == 1 + 7
    assert client.get(f"{staff.path}/scans.csv?status=any&bom=true", headers=headers).text == "\ufeff" + everything
    assert client.get(f"{staff.path}/scans.csv?limit=5", headers=headers).status_code == 422


def test_only_held_scans_are_counted(client: Any, conn: Conn, staff: Staff) -> None:
    code, path = make_code(conn, staff.org_id), f"{staff.path}/scans/held/count"
    assert client.get(path, headers=staff.admin.headers).json == {"held": 0}
    for _ in range(2):
        make_held_scan(conn, make_player(conn), code)
    make_held_scan(conn, make_player(conn), make_code(conn, make_org(conn)))
    insert(conn, make_player(conn), code, NOON)

    assert client.get(path, headers=staff.admin.headers).json == {"held": 2}


def test_names_are_those_of_members_and_of_players_who_scanned(
    client: Any, conn: Conn, staff: Staff, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pending scan is enough. A player's earlier scans count from the rollups, however many others followed."""
    monkeypatch.setattr(known_players, "RECENT_SCANS", 2)
    code, elsewhere = make_code(conn, staff.org_id), make_code(conn, make_org(conn))
    newcomer, regular, stranger = (make_player(conn, name) for name in ("newcomer", "regular", "stranger"))
    submit_scan(conn, newcomer, code, Coordinates(1, 1))
    insert(conn, regular, code, NOON)
    roll_up()
    for n in range(3):
        for player in (regular, stranger):
            insert(conn, player, elsewhere, NOON + timedelta(hours=n + 1))
    ids = [newcomer, regular, stranger, staff.member.id, staff.stranger.id, uuid4(), newcomer]

    response = client.post(
        f"{staff.path}/players/names", json={"ids": list(map(str, ids))}, headers=staff.admin.headers
    )

    assert response.status_code == 200
    names = {item["player_id"]: item["username"] for item in response.json["items"]}
    assert len(response.json["items"]) == 3
    assert names.keys() == {str(newcomer), str(regular), str(staff.member.id)}
    assert (names[str(newcomer)], names[str(regular)]) == ("newcomer", "regular")


@pytest.mark.parametrize("ids", [[], ["1"], [str(uuid4())] * 201, None])
def test_names_need_1_to_200_ids(client: Any, staff: Staff, ids: Any) -> None:
    response = client.post(f"{staff.path}/players/names", json={"ids": ids}, headers=staff.admin.headers)
    assert response.status_code == 422
    assert response.json["errors"][0]["loc"].startswith("body.ids")


def test_file_needs_a_download_slot(client: Any, staff: Staff, app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from web.http import file_responses

    monkeypatch.setitem(app.extensions, file_responses.SLOTS, file_responses.slots(0))
    caller: SignedInPlayer = staff.analyst
    assert client.get(f"{staff.path}/scans.csv", headers=caller.headers).status_code == 503
