"""Pages about scans, as the server renders them: filters, totals, roles, organizations, number of queries."""

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask import Flask

from shared.infra.db import Conn
from shared.scans.rules import REASONS
from tests.analytics.factories import roll_up
from tests.pages.rendered_pages import EVIL, Open, announced, page_opener, rows_of
from tests.reviews.factories import hold
from tests.reviews.test_scan_list import insert
from tests.support.callers import Staff, make_staff
from tests.support.command_line import waymark
from tests.support.factories import make_code, make_player
from tests.support.query_counts import collected_queries
from web.pages import scans as scan_pages
from web.pages import staff as staff_pages

NOW = datetime.now(UTC)


@pytest.fixture
def open_page(app: Flask, conn: Conn, staff: Staff) -> Open:
    return page_opener(app, conn, staff)


# The list --------------------------------------------------------------------------------------------


@pytest.fixture
def played(conn: Conn, staff: Staff) -> dict[str, UUID]:
    """Scans of two players and codes: three successes, a failure, a held one, and one of last year."""
    ids = {name: make_player(conn, name) for name in ("mata_hari", "ada")}
    ids |= {
        name: make_code(conn, staff.org_id, code=name, tags=[tag]) for name, tag in (("spy1", "red"), ("spy2", "blue"))
    }
    for code, player, hours, verdict in (
        ("spy1", "ada", 1, ("success", None)),
        ("spy2", "ada", 2, ("success", None)),
        ("spy1", "mata_hari", 3, ("failure", "not_present")),
        ("spy2", "mata_hari", 4, ("held", "burst")),
        ("spy1", "mata_hari", 5, ("pending", None)),
        ("spy2", "ada", 24 * 400, ("success", None)),
    ):
        ids[f"{code} {player} {hours}"] = insert(conn, ids[player], ids[code], NOW - timedelta(hours=hours), *verdict)
    return ids


FILTERS = [
    ("", "5 scans", "spy1 spy2 spy1 spy2 spy1 spy2"),
    ("?status=success", "3 scans", "spy1 spy2 spy2"),
    ("?status=held", "1 scan", "spy2"),
    ("?status=pending", "1 scan", "spy1"),
    ("?reason=not_present", "1 scan", "spy1"),
    ("?status=success&reason=not_present", "0 scans", ""),
    ("?code=spy1", "2 scans", "spy1 spy1 spy1"),
    ("?code=https%3A%2F%2Fany.example%2Fs%2Fspy1", "2 scans", "spy1 spy1 spy1"),
    ("?tag=blue", "3 scans", "spy2 spy2 spy2"),
    ("?player=ADA", "3 scans", "spy1 spy2 spy2"),
    ("?player={ada}&code=spy2", "2 scans", "spy2 spy2"),
    ("?player=nobody", "0 scans", ""),
    ("?period=30d", "4 scans", "spy1 spy2 spy1 spy2 spy1"),
    ("?period=1y&tz=Asia/Kathmandu&status=success", "2 scans", "spy1 spy2"),
    ("?status=x&reason=y&period=z&tz=Mars&cursor=%00&tag=%00&nothing=1", "5 scans", "spy1 spy2 spy1 spy2 spy1 spy2"),
]


@pytest.mark.parametrize(("query", "total", "listed"), FILTERS)
def test_filters_of_the_address(open_page: Open, played: dict[str, UUID], query: str, total: str, listed: str) -> None:
    text = open_page(f"/scans{query.format_map(played)}")

    assert announced(text) == total
    assert " ".join(code for row in rows_of(text) for code in re.findall(r"spy\d", row)) == listed
    assert ("1 pending" in text) == (len(listed.split()) > int(total.split(maxsplit=1)[0]))
    assert ("No scans match these filters." in text) == (not listed)


def test_csv_has_the_scans_of_the_page(open_page: Open, client: Any, staff: Staff, played: dict[str, UUID]) -> None:
    for query, _, listed in FILTERS:
        text = open_page(f"/scans{query.format_map(played)}")
        link = re.search(r'href="([^"]*scans.csv[^"]*)"', text)
        if not listed:
            continue
        assert link
        lines = client.get(unescape(link.group(1)), headers=staff.admin.headers).text.splitlines()[1:]
        assert " ".join(code for line in lines for code in re.findall(r",(spy\d),", line)) == listed


@pytest.mark.parametrize("most", [5_000, 0])
def test_total_equals_analytics(
    client: Any,
    open_page: Open,
    conn: Conn,
    staff: Staff,
    played: dict[str, UUID],
    most: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Counted in the list, and by the rollups as for more scans than that. Some scans are not in the rollups yet."""
    monkeypatch.setattr(scan_pages, "MAX_COUNTED", most)
    roll_up()
    insert(conn, played["ada"], played["spy1"], NOW - timedelta(minutes=1))
    settled = client.get(f"{staff.path}/stats", headers=staff.analyst.headers).json["scans"]
    for status in ("success", "failure", "held", "annulled"):
        counted = announced(open_page(f"/scans?status={status}"))
        assert counted.split()[0] == str(settled[status]), status
    assert announced(open_page("/scans")).split()[0] == str(settled["total"] - settled["pending"])
    for tz in ("UTC", "America/New_York"):
        days = client.get(f"{staff.path}/timeline?period=7d&tz={tz}", headers=staff.analyst.headers).json["data"]
        for query, name in ("", "count"), ("&status=success", "success"):
            counted = announced(open_page(f"/scans?period=7d&tz={tz}{query}"))
            assert counted.split()[0] == str(sum(day[name] for day in days))
    inexact = announced(open_page("/scans?tag=red"))
    assert inexact == ("3 scans" if most else "More than 2 scans")
    assert announced(open_page("/scans?tag=red&status=failure")) == ("1 scan" if most else "More than 0 scans")
    pending = announced(open_page("/scans?status=pending"))
    assert pending == ("1 scan" if most else "More than 0 scans")


@pytest.mark.parametrize(("most", "badge"), [(2, "2"), (1, "1+")])
def test_navigation_counts_held_scans_up_to_a_limit(
    open_page: Open, conn: Conn, staff: Staff, monkeypatch: pytest.MonkeyPatch, most: int, badge: str
) -> None:
    monkeypatch.setattr(staff_pages, "MAX_HELD", most)
    player, code = make_player(conn), make_code(conn, staff.org_id)
    for _ in range(2):
        insert(conn, player, code, NOW, "held", "burst")

    assert set(re.findall(r"Held scans: </span>([^<]*)<", open_page("/codes"))) == {badge}
    assert "2 held scans" in open_page("/reviews")


def test_next_page_has_the_next_scans(
    open_page: Open, conn: Conn, staff: Staff, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan_pages, "ROWS", 2)
    player, code = make_player(conn), make_code(conn, staff.org_id)
    for hours in range(5):
        insert(conn, player, code, NOW - timedelta(hours=hours))

    path, sizes = "/scans?status=success", []
    while path:
        text = open_page(path)
        sizes.append(len(rows_of(text)))
        link = re.search(r'href="(\?[^"]*cursor=[^"]*)"', text)
        path = f"/scans{unescape(link.group(1))}" if link else ""
        assert "status=success" in path or not path
    assert sizes == [2, 2, 1]


# One scan --------------------------------------------------------------------------------------------


def test_analyst_sees_neither_names_nor_positions_nor_checks(open_page: Open, conn: Conn, staff: Staff) -> None:
    player = make_player(conn, "mata_hari")
    scan = hold(conn, player, make_code(conn, staff.org_id, description="Poster"), staff.org_id)

    for path in ("/scans", f"/scans/{scan}", f"/scans?player={player}"):
        text = open_page(path, "analyst")
        assert "Impossible travel" in text
        assert f"…{str(player)[-6:]}" in text
        for secret in ("mata_hari", "38.7", "52.37", "data-review", "km", 'class="trail'):
            assert secret not in text, (path, secret)
    assert "No scans match" in open_page("/scans?player=mata_hari", "analyst"), "names cannot be tried"
    as_admin = open_page(f"/scans/{scan}")
    assert all(shown in as_admin for shown in ("mata_hari", "38.70750", "52.37310", "data-review", 'class="trail'))


def test_page_of_a_scan_explains_it_check_by_check(open_page: Open, conn: Conn, staff: Staff, client: Any) -> None:
    player = make_player(conn, "mata_hari")
    held = hold(conn, player, make_code(conn, staff.org_id), staff.org_id)
    text = " ".join(unescape(re.sub(r"<[^>]*>", " ", open_page(f"/reviews/{held}"))).split())

    for shown in (
        "Held Impossible travel",
        " km in ",
        "since the previous scan:",
        "limit 300 m/s",
        "Offline delay Not checked",
    ):
        assert shown in text
    assert "weren't recorded" not in text
    assert "Annul Release" in text

    client.post(f"{staff.path}/scans/{held}/release", headers=staff.admin.headers)
    page = open_page(f"/scans/{held}")
    assert re.findall(r'data-review="(\w+)"', page) == ["annul"], "a success can be annulled"
    client.post(f"{staff.path}/scans/{held}/annul", headers=staff.admin.headers)
    conn.execute("UPDATE players SET username = 'boss' WHERE id = %s", (staff.admin.id,))
    page = open_page(f"/reviews/{held}")
    assert "by boss" in page
    assert "data-review=" not in page, "an annulled scan has no actions"


def test_review_by_an_operator_has_a_time_and_no_reviewer(open_page: Open, conn: Conn, staff: Staff) -> None:
    held = hold(conn, make_player(conn), make_code(conn, staff.org_id), staff.org_id)
    waymark("scans", "annul", held, "--yes")
    page = open_page(f"/reviews/{held}")
    assert 'data-reviewer="" data-reviewed-at="2' in page
    assert re.search(r"<p>Annulled, ", page)


def test_every_verdict_has_a_page(open_page: Open, conn: Conn, staff: Staff) -> None:
    """With inputs that were not recorded: the trail has what is known. Also for a scan without a verdict."""
    player = make_player(conn)
    codes = [
        make_code(conn, staff.org_id, description=EVIL),
        make_code(
            conn,
            staff.org_id,
            max_scans=5,
            cooldown_seconds=60,
            per_player_limit=None,
            starts_at=NOW,
            expires_at=NOW,
            requires_location=True,
            latitude=1,
            longitude=2,
        ),
    ]
    for code in codes:
        for status, reason in (
            ("pending", None),
            ("success", None),
            ("annulled", None),
            *[("failure", name) for name in REASONS],
        ):
            scan = insert(conn, player, code, NOW, status, reason)
            text = open_page(f"/scans/{scan}")
            assert "<script>alert" not in text
            assert ("Inputs weren't recorded" in unescape(text)) == (status != "pending")


def test_scan_of_another_organization_does_not_exist(open_page: Open, app: Flask, conn: Conn, staff: Staff) -> None:
    scan = insert(conn, make_player(conn), make_code(conn, make_staff(app, conn).org_id), NOW, "held", "burst")

    for folder in ("scans", "reviews"):
        for scan_id in (scan, uuid4(), "x"):
            assert "burst" not in open_page(f"/{folder}/{scan_id}", "owner", 404)


# The review queue ------------------------------------------------------------------------------------


def test_review_queue_lists_held_scans_only(open_page: Open, conn: Conn, staff: Staff, played: dict[str, UUID]) -> None:
    text = open_page("/reviews")

    assert [row.split("Select the scan of ")[1].split()[0] for row in rows_of(text)] == ["mata_hari"]
    conn.execute("UPDATE player_scans SET status = 'annulled', reason = NULL WHERE status = 'held'")
    empty = open_page("/reviews")
    assert "Nothing to review." in empty
    assert "/settings" not in empty.split("Nothing to review.")[1], "admins cannot open the settings"
    assert "Fair play settings" in open_page("/reviews", "owner")


def test_neighbors_of_a_held_scan(open_page: Open, conn: Conn, staff: Staff) -> None:
    """In the order of the queue, whatever held them. A scan that was reviewed meanwhile has neighbors too."""
    player, code = make_player(conn), make_code(conn, staff.org_id)
    reasons = ("burst", "late", "burst", "identical_coordinates")
    scans = [insert(conn, player, code, NOW - timedelta(hours=n), "held", reason) for n, reason in enumerate(reasons)]
    conn.execute("UPDATE player_scans SET status = 'annulled', reason = NULL WHERE id = %s", (scans[1],))

    def neighbors(scan: UUID) -> list[str]:
        return re.findall(r'data-(?:newer|older)="[^"]*/(.*?)"', open_page(f"/reviews/{scan}"))

    assert [neighbors(scan) for scan in scans] == [
        [str(scans[2])],
        [str(scans[2]), str(scans[0])],
        [str(scans[3]), str(scans[0])],
        [str(scans[2])],
    ]


def test_pages_need_the_same_number_of_queries_for_many_rows(open_page: Open, conn: Conn, staff: Staff) -> None:
    player, code = make_player(conn), make_code(conn, staff.org_id)
    counts = []
    for many in (1, 60):
        scan = [insert(conn, player, code, NOW - timedelta(minutes=n), "held", "burst") for n in range(many)][-1]
        with collected_queries() as queries:
            for path in ("/scans", "/reviews", f"/scans/{scan}"):
                open_page(path)
        counts.append(len(queries))
    assert counts[0] == counts[1]
