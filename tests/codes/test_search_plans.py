"""Pages of codes read an index, whatever is searched for and however many codes other organizations have."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from shared.codes import aliases, store
from shared.codes.filters import CodeFilter
from shared.infra.db import Conn, exactly_one
from shared.infra.ids import HIGHEST
from tests.support.factories import make_code, make_org

PAGE = 51


def make_codes(conn: Conn, org_id: UUID, codes: int) -> None:
    conn.execute(
        """
        INSERT INTO qr_codes (org_id, code, description, scan_type)
        SELECT %(org_id)s, substr(md5(%(org_id)s::text || n), 1, 12),
               (ARRAY['Poster', 'Sticker', 'Flyer', 'Station'])[1 + n %% 4] || ' ' || n, 'item_drop'
        FROM generate_series(1, %(codes)s) n
        """,
        {"org_id": org_id, "codes": codes},
    )


def has_trigram_index(conn: Conn) -> bool:
    return conn.execute("SELECT FROM pg_indexes WHERE indexname = 'qr_codes_text'").fetchone() is not None


@pytest.mark.parametrize("codes", [10_000, pytest.param(100_000, marks=pytest.mark.long)])
def test_pages_of_codes_read_an_index(conn: Conn, codes: int) -> None:
    """A rare text is found by its trigrams. A common one is found among the newest codes of the organization, which are
    older than those of another."""
    org, newer = make_org(conn), make_org(conn)
    make_codes(conn, org, codes)
    make_codes(conn, newer, codes)
    conn.execute("VACUUM ANALYZE qr_codes")

    if has_trigram_index(conn):
        for pattern in ("%no such code%", "%Flyer 1998%"):
            # And by its id, a code whose alias matches.
            read = scans_of_codes(conn, org, pattern)
            assert [node["Index Name"] for node in read].count("qr_codes_text") == 2
            assert sum(node["Actual Rows"] for node in read) < PAGE
    for common in (None, "%Flyer%", "%e%"):
        (scan,) = scans_of_codes(conn, org, common)
        assert scan["Index Name"] == "qr_codes_org"
        assert scan["Actual Rows"] == PAGE
        assert scan.get("Rows Removed by Filter", 0) < 10 * PAGE


def test_this_server_has_the_trigram_index(conn: Conn) -> None:
    available = conn.execute("SELECT FROM pg_available_extensions WHERE name = 'pg_trgm'").fetchone() is not None
    if not available:
        pytest.skip("pg_trgm is not tested: this server does not offer it")
    assert has_trigram_index(conn)


def test_a_search_finds_the_same_codes_with_and_without_the_index(conn: Conn) -> None:
    org = make_org(conn)
    make_codes(conn, org, 2_000)
    conn.execute("ANALYZE qr_codes")

    def find() -> list[list[str]]:
        return [
            [code.code for code in store.list_for_organization(conn, org, CodeFilter(text=text), limit=PAGE)]
            for text in ("flyer 199", "STATION 8", "0a1", "er 77", "%", "_", "nowhere")
        ]

    with_index = find()
    with conn.transaction(force_rollback=True):
        conn.execute("DROP INDEX IF EXISTS qr_codes_text")
        assert find() == with_index
    assert [bool(found) for found in with_index] == [True, True, True, True, False, False, False]


def test_a_search_finds_aliases_of_codes_that_exist(conn: Conn) -> None:
    org, other = make_org(conn), make_org(conn)
    renamed, deleted, foreign = (
        make_code(conn, owner, code=f"printed-{n}") for n, owner in enumerate((org, org, other))
    )
    for qr_id in (renamed, deleted, foreign):
        conn.execute("UPDATE qr_codes SET code = 'now-' || code WHERE id = %s", (qr_id,))
        conn.execute("UPDATE qr_codes SET code = 'x-' || right(code, 1) || 'z' WHERE id = %s", (qr_id,))
    conn.execute("UPDATE qr_codes SET deleted_at = now() WHERE id = %s", (deleted,))

    def find(text: str) -> list[UUID]:
        return [code.id for code in store.list_for_organization(conn, org, CodeFilter(text=text), limit=PAGE)]

    assert find("PRINTED-") == find("now-printed-0") == [renamed]
    assert find("printed-2") == []
    aliases.delete(conn, renamed, "printed-0")
    aliases.delete(conn, renamed, "now-printed-0")
    assert find("printed-") == []
    conn.execute("UPDATE qr_codes SET code = 'printed-0' WHERE id = %s", (renamed,))
    conn.execute("UPDATE qr_codes SET code = 'x-0z' WHERE id = %s", (renamed,))
    assert find("printed-0") == find("x-0z") == [renamed]


def scans_of_codes(conn: Conn, org_id: UUID, pattern: str | None) -> list[dict[str, Any]]:
    """The nodes of the plan that read codes by an index, with what they read. Destinations (`d`) are left out."""
    params = CodeFilter().parameters(org_id) | {"before": HIGHEST, "pattern": pattern, "limit": PAGE}
    explained = conn.execute("EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) " + store.SELECT_PAGE, params, prepare=False)
    (plan,) = exactly_one(explained)[0]
    codes = (node for node in nodes(plan["Plan"]) if node.get("Alias") != "d")
    return [node for node in codes if str(node.get("Index Name", "")).startswith("qr_codes")]


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)
