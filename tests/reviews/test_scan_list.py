"""The list of an organization's scans: its filters, its order, what each role sees, and how much a page reads."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import product
from random import Random
from typing import Any
from uuid import UUID, uuid4

import pytest

from shared.infra.db import Conn, exactly_one
from shared.reviews import scan_list
from shared.reviews.scan_counts import ScanCount, count_scans
from shared.reviews.scan_list import VERDICTS, ScanFilter, ScanPosition, list_scans
from shared.reviews.store import Review
from tests.support.callers import Staff
from tests.support.factories import LISBON, code_text, make_code, make_org, make_player

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
PAGE = 51


def insert(
    conn: Conn, player: UUID, code: UUID, at: datetime, status: str = "success", reason: str | None = None
) -> UUID:
    row = conn.execute(
        """
        INSERT INTO player_scans (player_id, qr_code_id, status, reason, scan_time, settled_at, latitude, longitude,
                                  accuracy, distance_m)
        VALUES (%(player)s, %(code)s, %(status)s, %(reason)s, %(at)s,
                CASE WHEN %(status)s <> 'pending' THEN now() END, %(latitude)s, %(longitude)s, 5, 7)
        RETURNING id
        """,
        {
            "player": player,
            "code": code,
            "status": status,
            "reason": reason,
            "at": at,
            "latitude": LISBON.latitude,
            "longitude": LISBON.longitude,
        },
    )
    return UUID(str(exactly_one(row)[0]))


def all_pages(conn: Conn, org_id: UUID, conditions: ScanFilter, limit: int) -> list[Review]:
    """Return the whole list, page by page."""
    listed: list[Review] = []
    while page := list_scans(
        conn,
        org_id,
        conditions,
        limit=limit,
        before=ScanPosition(listed[-1].scanned_at, listed[-1].scan_id) if listed else None,
    ):
        assert len(page) <= limit
        listed += page
    return listed


def test_every_combination_of_filters_lists_the_matching_scans_once(
    conn: Conn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compared with a filter in Python. Equal times, a deleted code, and a second organization are among the scans."""
    random = Random(7)
    org, other = make_org(conn), make_org(conn)
    codes = [make_code(conn, org, tags=tags) for tags in (["red"], ["red", "blue"], [])]
    conn.execute("UPDATE qr_codes SET deleted_at = now() WHERE id = %s", (codes[0],))
    players = [make_player(conn) for _ in range(2)]
    for n in range(60):
        status, reason = VERDICTS[n % len(VERDICTS)]
        at = NOON - timedelta(minutes=random.randrange(8))
        insert(conn, random.choice(players), random.choice(codes), at, status, reason)
    insert(conn, players[0], make_code(conn, other), NOON)
    scans = all_pages(conn, org, ScanFilter(), 7)
    assert len(scans) == 60
    tags: dict[UUID, list[str]] = dict(conn.execute("SELECT id, tags FROM qr_codes").fetchall())

    def matches(scan: Review, wanted: ScanFilter) -> bool:
        return (
            wanted.status in (None, scan.status)
            and wanted.reason in (None, scan.reason)
            and wanted.code in (None, scan.qr_code)
            and (wanted.tag is None or wanted.tag in tags[scan.qr_id])
            and wanted.player_id in (None, scan.player_id)
            and (wanted.since is None or scan.scanned_at >= wanted.since)
            and (wanted.until is None or scan.scanned_at < wanted.until)
        )

    filters = [
        ScanFilter(*values)
        for values in product(
            (None, "failure", "held", "success"),
            (None, "burst", "cooldown"),
            (None, code_text(conn, codes[0]), "unknown"),
            (None, "red", "green"),
            (None, players[0]),
            (None, NOON - timedelta(minutes=5)),
            (None, NOON - timedelta(minutes=2)),
        )
    ]
    for most in (5_000, 0):
        monkeypatch.setattr(scan_list, "MAX_CODES_READ", most)
        monkeypatch.setattr(scan_list, "MAX_SCANS_READ", most)
        for wanted in random.sample(filters, 150):
            expected = [scan.scan_id for scan in scans if matches(scan, wanted)]
            assert [scan.scan_id for scan in all_pages(conn, org, wanted, 4)] == expected, wanted
            assert count_scans(conn, org, wanted, max_read=60) == ScanCount(len(expected), is_exact=True), wanted
            some = count_scans(conn, org, wanted, max_read=3)
            assert some.count == len(expected) if some.is_exact else some.count <= len(expected), wanted
    ordered = sorted(scans, key=lambda scan: (scan.scanned_at, scan.scan_id), reverse=True)
    assert scans == ordered


# What a page reads -----------------------------------------------------------------------------------


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


class Explainer:
    """A connection that explains what it executes. `rows` are those of scans that were read, filtered ones included."""

    def __init__(self, conn: Conn) -> None:
        self.conn = conn
        self.rows = 0

    @contextmanager
    def cursor(self, **options: Any) -> Iterator[Any]:
        with self.conn.cursor(**options) as cursor:
            yield Explainer.Cursor(self, cursor)

    def execute(self, statement: str, params: dict[str, Any], **options: Any) -> Any:
        explained = self.conn.execute("EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) " + statement, params)
        (plan,) = exactly_one(explained)[0]
        # The plan has averages of all loops, to two digits.
        rows: float = sum(
            (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
            for node in nodes(plan["Plan"])
            if node.get("Relation Name") == "player_scans"
        )
        self.rows += round(rows)
        return self.conn.execute(statement, params, **options)

    @dataclass
    class Cursor:
        explainer: "Explainer"
        cursor: Any

        def execute(self, statement: str, params: dict[str, Any], **options: Any) -> Any:
            self.explainer.execute(statement, params)
            return self.cursor.execute(statement, params, **options)


def rows_read(conn: Conn, read: Callable[[Any], object]) -> int:
    """Return how many rows of scans are read."""
    explainer = Explainer(conn)
    read(explainer)
    return explainer.rows


@pytest.mark.parametrize("many", [20_000, pytest.param(1_000_000, marks=pytest.mark.long)])
def test_a_page_reads_as_few_rows_in_a_large_table(conn: Conn, many: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few held scans lie behind many newer successes of their code, and behind held scans of another organization.

    So do the successes of a few of the codes that have a tag.
    """
    org, other = make_org(conn), make_org(conn)
    code, player = make_code(conn, org), make_player(conn)
    codes = [make_code(conn, org, tags=["rare"]) for _ in range(20)]
    monkeypatch.setattr(scan_list, "MAX_SCANS_READ", PAGE - 1)
    held = {insert(conn, player, code, NOON, "held", "burst") for _ in range(3)}
    rare = {insert(conn, make_player(conn), codes[n % 3], NOON) for n in range(9)}
    conn.execute("ALTER TABLE player_scans DISABLE TRIGGER player_scans_append_events")
    for code_id, status, reason in ((code, "success", None), (make_code(conn, other), "held", "burst")):
        conn.execute(
            """
            INSERT INTO player_scans (player_id, qr_code_id, org_id, qr_code, status, reason, scan_time, settled_at)
            SELECT %s, id, org_id, code, %s, %s, now(), now() FROM qr_codes, generate_series(1, %s) WHERE id = %s
            """,
            (make_player(conn), status, reason, many // 2, code_id),
        )
    conn.execute("ALTER TABLE player_scans ENABLE TRIGGER player_scans_append_events")
    conn.execute("VACUUM ANALYZE player_scans")

    text = code_text(conn, code)
    for conditions, most in (
        (ScanFilter(), 3 * PAGE),
        (ScanFilter("held"), 2 * len(held)),
        (ScanFilter("failure"), 0),
        (ScanFilter(reason="burst"), 2 * len(held)),
        (ScanFilter("held", code=text), PAGE + 2 * len(held)),
        (ScanFilter(code=text), 2 * PAGE + 1),
        (ScanFilter(tag="rare"), 2 * len(rare) + len(codes)),
        (ScanFilter("success", tag="rare"), 4 * len(rare)),
        (ScanFilter(player_id=player), 2 * len(held)),
    ):
        assert rows_read(conn, partial(list_scans, org_id=org, conditions=conditions, limit=PAGE)) <= most, conditions
        counted = rows_read(conn, partial(count_scans, org_id=org, conditions=conditions, max_read=PAGE))
        assert counted <= PAGE + 1, conditions
    assert {scan.scan_id for scan in list_scans(conn, org, ScanFilter("held"), limit=PAGE)} == held


# Over HTTP -------------------------------------------------------------------------------------------


def test_an_analyst_sees_no_name_and_no_position(client: Any, conn: Conn, staff: Staff) -> None:
    scan_id = insert(conn, make_player(conn, "mata_hari"), make_code(conn, staff.org_id, description="Poster"), NOON)

    def item(caller: Any) -> dict[str, Any]:
        (only,) = client.get(f"{staff.path}/scans?status=any", headers=caller.headers).json["items"]
        return dict(only)

    shown, hidden = item(staff.admin), item(staff.analyst)
    assert (shown["scan_id"], shown["username"], shown["latitude"]) == (str(scan_id), "mata_hari", LISBON.latitude)
    assert (shown["description"], shown["distance_m"], shown["held_for"]) == ("Poster", 7, None)
    differing = {name for name in shown if shown[name] != hidden[name]}
    assert differing == {"username", "latitude", "longitude", "accuracy", "distance_m"}
    assert {hidden[name] for name in differing} == {None}
    assert client.get(f"{staff.path}/scans", headers=staff.member.headers).status_code == 403


def test_query_parameters_of_the_list(client: Any, conn: Conn, staff: Staff) -> None:
    player = make_player(conn)
    code = make_code(conn, staff.org_id, tags=["red"])
    early = insert(conn, player, code, NOON)
    late = insert(conn, make_player(conn), code, NOON + timedelta(hours=1), "failure", "cooldown")

    def listed(query: str) -> list[str]:
        response = client.get(f"{staff.path}/scans?{query}", headers=staff.analyst.headers)
        assert response.status_code == 200, response.json
        return [item["scan_id"] for item in response.json["items"]]

    everything = [str(late), str(early)]
    assert listed("status=any") == listed("status=any&tag=red") == everything
    assert listed("") == listed(f"status=any&player={uuid4()}") == []
    assert listed(f"status=any&player={player}") == [str(early)]
    assert listed("status=failure") == listed("status=any&reason=cooldown") == [str(late)]
    assert listed("status=any&since=2026-06-01T13:00:00Z") == [str(late)]
    assert listed("status=any&until=2026-06-01T13:00:00Z") == [str(early)]
    assert listed(f"status=any&code={code_text(conn, code)}") == everything
    for field in ("status=none", "status=", "reason=bored", "player=1", "since=today", "since=2026-06-01T13:00:00"):
        response = client.get(f"{staff.path}/scans?{field}", headers=staff.analyst.headers)
        assert response.status_code == 422
        assert [error["loc"] for error in response.json["errors"]] == ["query." + field.partition("=")[0]]
