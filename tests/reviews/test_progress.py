"""The table of players' progress: its columns, its times, its pages, and how much a page reads."""

import csv
from datetime import UTC, datetime, timedelta
from io import StringIO
from random import Random
from typing import Any

import pytest

from shared.infra.db import Conn, exactly_one
from shared.infra.timestamps import format_rfc3339
from shared.quests import definitions
from shared.reviews import progress
from shared.reviews.progress import CodeColumn
from tests.quests.scan_quests import make_quest
from tests.reviews.test_scan_list import insert, nodes
from tests.support.callers import Staff
from tests.support.factories import code_text, make_code, make_org, make_player

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def get(client: Any, staff: Staff, query: str = "", role: str = "analyst") -> Any:
    return client.get(f"{staff.path}/progress?{query}", headers=staff[role].headers)


def columns(response: Any) -> list[str]:
    assert response.status_code == 200, response.json
    return [column["code"] for column in response.json["columns"]]


def test_columns_of_a_tag_read_no_other_code(conn: Conn) -> None:
    """A statement that is executed often gets a plan for any parameters, unless it is not prepared."""
    org = make_org(conn)
    conn.execute(
        """
        INSERT INTO qr_codes (org_id, code, scan_type, tags)
        SELECT %s, 'code' || n, 'item_drop', ARRAY['zone' || n %% 500] FROM generate_series(1, 5000) n
        """,
        (org,),
    )
    conn.execute("VACUUM ANALYZE qr_codes")
    rows_read = "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'qr_codes'"

    with conn.transaction():
        (before,) = exactly_one(conn.execute(rows_read))
        for _ in range(20):
            assert len(progress.list_codes(conn, org, tag="zone7")) == 10
        (after,) = exactly_one(conn.execute(rows_read))
    assert after - before == 20 * 10


def test_table_has_the_first_success_of_each_player(
    client: Any, conn: Conn, staff: Staff, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compared with a computation in Python, in pages of every size, as JSON and as CSV."""
    random = Random(3)
    codes = [make_code(conn, staff.org_id, code=f"-code{n}", tags=["red"]) for n in range(4)]
    players = [make_player(conn) for _ in range(7)]
    first: dict[Any, datetime] = {}
    for _ in range(90):
        player, code = random.choice(players), random.choice(codes)
        at = NOON + timedelta(minutes=random.randrange(50))
        status, reason = random.choice([("success", None), ("failure", "cooldown"), ("held", "burst")])
        insert(conn, player, code, at, status, reason)
        if status == "success":
            first[player, code] = min(at, first.get((player, code), at))
    annulled = insert(conn, make_player(conn), codes[0], NOON)
    conn.execute("UPDATE player_scans SET status = 'annulled' WHERE id = %s", (annulled,))
    insert(conn, make_player(conn), make_code(conn, make_org(conn), tags=["red"]), NOON)
    names: dict[Any, str] = dict(conn.execute("SELECT id, username FROM players").fetchall())
    expected = [
        {
            "player_id": str(player),
            "username": names[player],
            "times": [format_rfc3339(first[player, code]) if (player, code) in first else None for code in codes],
        }
        for player in sorted({player for player, _ in first})
    ]

    for limit in (1, 2, 3, 50):
        rows: list[Any] = []
        cursor = ""
        while cursor is not None:
            page = get(client, staff, f"tag=red&limit={limit}" + (f"&cursor={cursor}" if cursor else ""), "admin").json
            assert len(page["rows"]) <= limit
            assert [column["qr_id"] for column in page["columns"]] == list(map(str, codes))
            rows, cursor = rows + page["rows"], page["next_cursor"]
        assert rows == expected
    hidden = get(client, staff, "tag=red").json["rows"]
    assert hidden == [{key: row[key] for key in ("player_id", "times")} for row in expected]

    from web.api import progress as view

    monkeypatch.setattr(view, "CSV_PAGE_SIZE", 2)
    for role, named in (("admin", ["username"]), ("analyst", [])):
        response = client.get(f"{staff.path}/progress.csv?tag=red&bom=true", headers=staff[role].headers)
        assert response.text[0] == "\ufeff"
        header, *body = csv.reader(StringIO(response.text[1:], newline=""))
        assert header == ["player_id", *named, *(f"'-code{n}" for n in range(4))]
        assert body == [
            [row["player_id"], *([row["username"]] if named else []), *(at or "" for at in row["times"])]
            for row in expected
        ]


def test_columns_are_the_codes_of_a_tag_or_of_a_quest(client: Any, conn: Conn, staff: Staff) -> None:
    texts = ("anchor", "bridge", "canal", "dock")
    ids = {text: make_code(conn, staff.org_id, code=text, tags=["sea"] if text > "b" else []) for text in texts}
    make_code(conn, make_org(conn), code="theirs", tags=["sea"])
    make_quest(conn, staff.org_id, "walk", codes=["dock", "bridge", "theirs"], tags=[], streak=2)
    make_quest(conn, staff.org_id, "dive", tags=["sea"])
    assert columns(get(client, staff)) == list(texts)
    assert columns(get(client, staff, "tag=sea")) == columns(get(client, staff, "quest=dive")) == list(texts[1:])
    assert columns(get(client, staff, "tag=none")) == []
    assert columns(get(client, staff, "quest=walk")) == ["dock", "bridge"]

    # Under its old text, a renamed code still advances the quest.
    conn.execute("UPDATE qr_codes SET code = 'pier' WHERE id = %s", (ids["dock"],))
    conn.execute("UPDATE qr_codes SET deleted_at = now() WHERE id = %s", (ids["bridge"],))
    definitions.set_organization(conn, "walk", None)
    assert columns(get(client, staff, "quest=walk")) == ["pier"]
    assert get(client, staff, "tag=none").json == {"columns": [], "rows": [], "next_cursor": None}


def test_only_quests_of_the_organization_have_a_table(client: Any, conn: Conn, staff: Staff) -> None:
    make_quest(conn, make_org(conn), "theirs")
    make_quest(conn, None, "nobodys")
    make_quest(conn, None, "by-hand", tags=[])
    for name in ("theirs", "nobodys", "by-hand", "none", "Ünknown"):
        assert get(client, staff, f"quest={name}").status_code == 404
        assert client.get(f"{staff.path}/progress.csv?quest={name}", headers=staff.analyst.headers).status_code == 404


def test_wrong_parameters_are_named(client: Any, conn: Conn, staff: Staff, monkeypatch: pytest.MonkeyPatch) -> None:
    both = get(client, staff, "tag=red&quest=walk")
    assert (both.status_code, both.json["errors"][0]["message"]) == (422, "Give either tag or quest.")
    assert get(client, staff, "cursor=x").status_code == 422
    monkeypatch.setattr(progress, "MAX_CODES", 1)
    for _ in range(2):
        make_code(conn, staff.org_id, tags=["red"])
    make_quest(conn, staff.org_id, tags=["red"], streak=1)
    for query, loc in (("tag=red", "query.tag"), ("", "query.tag"), ("quest=walk", "query.quest")):
        response = get(client, staff, query)
        assert (response.status_code, response.json["errors"][0]["loc"]) == (422, loc)


@pytest.mark.parametrize("players", [300, pytest.param(10_000, marks=pytest.mark.long)])
def test_a_page_reads_its_own_entries_of_one_index(conn: Conn, players: int) -> None:
    """Every player has a success and a failure of every code. A page reads about one entry of the index per cell."""
    org, per_page, n_codes = make_org(conn), 20, 20
    codes = [CodeColumn(make_code(conn, org, code=f"code{n:03}"), f"code{n:03}") for n in range(n_codes)]
    conn.execute("ALTER TABLE player_scans DISABLE TRIGGER player_scans_append_events")
    conn.execute(
        """
        WITH new_players AS (
            INSERT INTO players (username) SELECT 'player' || n FROM generate_series(1, %s) n RETURNING id
        )
        INSERT INTO player_scans (player_id, qr_code_id, status, reason, settled_at)
        SELECT p.id, q.id, v.status, v.reason, now()
        FROM new_players p, qr_codes q, (VALUES ('success', NULL), ('failure', 'cooldown')) v (status, reason)
        """,
        (players,),
    )
    conn.execute("ALTER TABLE player_scans ENABLE TRIGGER player_scans_append_events")
    conn.execute("VACUUM ANALYZE player_scans")
    after = exactly_one(conn.execute("SELECT id FROM players ORDER BY id OFFSET %s LIMIT 1", (players // 2,)))[0]
    params = {"code_ids": [code.qr_id for code in codes], "after": after, "limit": per_page}

    (plan,) = exactly_one(conn.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + progress.SELECT_PAGE, params))[0]

    reads = [node for node in nodes(plan["Plan"]) if node.get("Relation Name") == "player_scans"]
    assert [node["Index Name"] for node in reads] == ["player_scans_counted"]
    (read,) = reads
    assert read["Node Type"] == "Index Only Scan"
    assert read["Actual Rows"] * read["Actual Loops"] <= 1.1 * per_page * n_codes
    page = progress.list_players(conn, codes, limit=per_page, after=after)
    assert len(page) == per_page
    assert {len(player.times) for player in page} == {n_codes}
    assert code_text(conn, codes[0].qr_id) == "code000"
