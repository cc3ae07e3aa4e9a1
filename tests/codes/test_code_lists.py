"""Lists of codes for pages: tags, totals, usage, and places for maps."""

from typing import Any

import pytest

from shared.codes import places
from shared.codes.places import MapView
from shared.infra.db import Conn
from tests.analytics.factories import NOON, correct, roll_up, settle
from tests.support.callers import SignedInPlayer, Staff, make_key
from tests.support.factories import make_code, make_org, make_player
from web.http.pagination import encode_cursor


def get(client: Any, staff: Staff, path: str, by: SignedInPlayer | None = None) -> Any:
    return client.get(f"{staff.path}{path}", headers=(by or staff.member).headers)


def test_tags_are_counted_by_name_page_by_page(client: Any, conn: Conn, staff: Staff) -> None:
    for tags in (["east", "Landmark"], ["east", "old town"], ["east"]):
        make_code(conn, staff.org_id, tags=tags)
    make_code(conn, staff.org_id, tags=["deleted"], deleted_at="now")
    make_code(conn, make_org(conn), tags=["foreign", "east"])

    def listed(query: str) -> list[tuple[str, int]]:
        found, cursor = [], ""
        while cursor is not None:
            page = get(client, staff, f"/tags?limit=2{query}{cursor}").json
            found += [(item["tag"], item["codes"]) for item in page["items"]]
            cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
        return found

    assert sorted(listed("")) == [("Landmark", 1), ("east", 3), ("old town", 1)]
    assert listed("&q=LAND") == [("Landmark", 1)]
    assert listed("&q=and") == listed("&q=%25") == []
    assert get(client, staff, f"/tags?cursor={encode_cursor(chr(0))}").status_code == 422


def test_total_counts_what_the_filters_match(client: Any, conn: Conn, staff: Staff) -> None:
    for n in range(3):
        make_code(conn, staff.org_id, active=n > 0)
    conn.execute(
        "INSERT INTO qr_codes (org_id, code, scan_type, tags) "
        "SELECT %s, 'c-' || n, 'item_drop', '{many}' FROM generate_series(1, 10001) n",
        (staff.org_id,),
    )

    def total(query: str) -> Any:
        return get(client, staff, f"/qr-codes?limit=1&include=total{query}").json["total"]

    assert [total("&active=false"), total("&q=c-1000&tag=many"), total("&tag=none"), total("")] == [1, 3, 0, 10_001]
    assert "total" not in get(client, staff, "/qr-codes").json


def test_usage_counts_rolled_up_and_new_scans(client: Any, conn: Conn, staff: Staff) -> None:
    scanned, unused = (make_code(conn, staff.org_id, use_count=n, max_scans=9) for n in (2, 0))
    player = make_player(conn)
    held = settle(conn, player, scanned, "held", NOON)
    settle(conn, player, scanned, "failure", NOON.replace(hour=13))
    settle(conn, player, make_code(conn), at=NOON)
    roll_up()
    settle(conn, player, scanned, at=NOON.replace(day=29))
    correct(conn, held, "annulled")

    items = get(client, staff, "/qr-codes?include=usage", staff.analyst).json["items"]

    assert {item["id"]: (item["scans"], item["last_scan_at"], item["use_count"]) for item in items} == {
        str(scanned): (3, "2026-03-29T12:00:00Z", 2),
        str(unused): (0, None, 0),
    }
    assert "scans" not in get(client, staff, "/qr-codes", staff.analyst).json["items"][0]


def test_usage_needs_the_rights_of_statistics(client: Any, conn: Conn, staff: Staff) -> None:
    make_code(conn, staff.org_id)
    path = f"{staff.codes}?include=total,usage"

    def status(headers: dict[str, str]) -> int:
        return int(client.get(path, headers=headers).status_code)

    assert status(staff.member.headers) == 403
    assert status(staff.analyst.headers) == 200
    assert status(make_key(conn, staff.org_id, "codes:read").headers) == 403
    assert status(make_key(conn, staff.org_id, "codes:read", "analytics").headers) == 200
    for word in ("", "usages", "usage,", "total,usage,total"):
        assert get(client, staff, f"/qr-codes?include={word}", staff.analyst).status_code == 422


WORLD = "bbox=-180,-90,180,90&zoom=0"


def place(conn: Conn, staff: Staff, latitude: float, longitude: float, **fields: Any) -> str:
    return str(make_code(conn, staff.org_id, latitude=latitude, longitude=longitude, **fields))


def test_places_in_view_are_codes(client: Any, conn: Conn, staff: Staff) -> None:
    dam = place(conn, staff, 52.3731, 4.8926, code="dam", radius_m=20, tags=["city"])
    fiji = place(conn, staff, -16.8, 179.9999, active=False)
    taveuni = place(conn, staff, -16.8, -179.9999)
    pole = place(conn, staff, 90, 0)
    edge, same_edge = place(conn, staff, 0, 180), place(conn, staff, 0, -180)
    make_code(conn, staff.org_id)
    make_code(conn, latitude=52.3731, longitude=4.8926)

    def found(query: str) -> set[str]:
        answer = get(client, staff, f"/qr-codes/places?{query}").json
        assert (answer["kind"], answer["columns"][0]) == ("codes", "id")
        return {row[0] for row in answer["rows"]}

    assert found(WORLD) == {dam, fiji, taveuni, pole, edge, same_edge}
    assert found("bbox=179,-17,-179,-16&zoom=9") == {fiji, taveuni}
    for box in ("180,-1,-180,1", "180,-1,180,1", "-180,-1,-180,1", "-180,-1,-179,1", "10,-1,-10,1"):
        assert found(f"bbox={box}&zoom=9") == {edge, same_edge}, box
    assert found("bbox=-179.9,-1,179.9,1&zoom=9") == set()
    assert found("bbox=179,-17,180,0&zoom=9") == {fiji, edge, same_edge}
    assert found("bbox=-10,89,10,90&zoom=3") == {pole}
    assert found(f"{WORLD}&active=false") == {fiji}
    assert found(f"{WORLD}&tag=city&q=da&scan_type=item_drop") == {dam}
    (row,) = get(client, staff, "/qr-codes/places?bbox=4,52,5,53&zoom=9").json["rows"]
    assert row == [dam, "dam", 52.3731, 4.8926, 20.0, "item_drop", True]


@pytest.mark.parametrize(
    "query",
    [
        "zoom=1",
        "bbox=1,2,3&zoom=1",
        "bbox=1,2,3,x&zoom=1",
        "bbox=1,2,3,nan&zoom=1",
        "bbox=-181,0,0,1&zoom=1",
        "bbox=0,5,1,4&zoom=1",
        "bbox=0,0,1,91&zoom=1",
        "bbox=0,0,1,1&zoom=23",
        "bbox=0,0,1,1&zoom=-1",
        "bbox=0,0,1,1",
    ],
)
def test_malformed_views_are_rejected(client: Any, staff: Staff, query: str) -> None:
    assert get(client, staff, f"/qr-codes/places?{query}").status_code == 422


def test_many_places_are_cells(client: Any, conn: Conn, staff: Staff, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "MAX_PLACES", 3)
    for latitude, longitude in ((10, 10), (10.2, 10.4), (-16.8, 179.9), (-16.8, -179.9), (90, 0)):
        place(conn, staff, latitude, longitude)

    answer = get(client, staff, f"/qr-codes/places?{WORLD}").json

    assert (answer["kind"], answer["columns"]) == ("cells", ["latitude", "longitude", "codes"])
    assert sorted(answer["rows"]) == [[-16.8, -179.9, 1], [-16.8, 179.9, 1], [10.1, 10.2, 2], [90, 0, 1]]


@pytest.mark.parametrize("zoom", [0, 5, 22])
@pytest.mark.parametrize("box", [(-180, -90, 180, 90), (179, -1, -179, 1), (4.8, 52.3, 4.8, 52.3)])
def test_cells_of_a_view_are_few(zoom: int, box: tuple[float, float, float, float]) -> None:
    west, south, east, north = box
    view = MapView(west, south, east, north, zoom)
    width = east - west if west <= east else east - west + 360
    assert width / view.cell_degrees <= places.MAX_CELLS_PER_SIDE
    assert (north - south) / view.cell_degrees <= places.MAX_CELLS_PER_SIDE
