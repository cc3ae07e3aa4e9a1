"""Guards of judging that are SQL functions, replaced by functions that do nothing, for negative controls."""

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import sql

from shared.infra.db import Conn, exactly_one

UNGUARDED = {
    "lock_leased_scans": "(ids uuid[], token uuid) RETURNS uuid[] LANGUAGE sql AS 'SELECT ids'",
    "lock_players": "(ids uuid[]) RETURNS void LANGUAGE plpgsql AS 'BEGIN END'",
    "postpone_scans": "(scans player_scans[]) RETURNS uuid[] LANGUAGE sql AS $$ SELECT '{}'::uuid[] $$",
    "lock_fair_play_organizations": "(code_ids uuid[]) RETURNS void LANGUAGE plpgsql AS 'BEGIN END'",
    "lock_limited_codes": "(ids uuid[]) RETURNS void LANGUAGE plpgsql AS 'BEGIN END'",
    "is_in_stock": """
        (uses bigint, use_count bigint, max_scans bigint) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true'
    """,
}


def create_unguarded(conn: Conn, name: str, schema: str = "public") -> None:
    """Create or replace a guard with a function of the same signature that guards nothing."""
    conn.execute(
        sql.SQL("CREATE OR REPLACE FUNCTION {}.{} ").format(sql.Identifier(schema), sql.Identifier(name))
        + sql.SQL(UNGUARDED[name])
    )


@contextmanager
def without_guards(conn: Conn, *names: str) -> Iterator[None]:
    """Replace these guards in the database until the end of the block."""
    originals = [
        exactly_one(conn.execute("SELECT pg_get_functiondef(%s::regproc)", (f"public.{name}",)))[0] for name in names
    ]
    try:
        for name in names:
            create_unguarded(conn, name)
        yield
    finally:
        for original in originals:
            conn.execute(original)
