"""Values that a shell and the prompt complete: looked up in PostgreSQL, few, quickly, and silently without it."""

import threading
import time
from collections.abc import Callable
from typing import ClassVar

import click
from psycopg.rows import scalar_row

from shared.infra import db
from shared.infra.db import Conn

LIMIT_SECONDS = 1.0
PAUSE_SECONDS = 10.0


class Lookup:
    """Complete a value with the texts that a query returns for its beginning."""

    paused_until: ClassVar[float] = 0.0
    """After a lookup that failed, later ones return nothing for PAUSE_SECONDS: the prompt looks up at each key."""

    def __init__(self, query: Callable[[Conn, str], list[str]]) -> None:
        self._query = query

    def __call__(self, _ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
        """Return the values that begin with the text. An empty list if PostgreSQL does not answer within a second."""
        if time.monotonic() < Lookup.paused_until:
            return []
        found: list[str] = []
        # The connection and the name of the server have longer time limits, or none.
        thread = threading.Thread(target=self._find, args=(incomplete, found), name="lookup", daemon=True)
        thread.start()
        thread.join(LIMIT_SECONDS)
        if thread.is_alive():
            Lookup.paused_until = time.monotonic() + PAUSE_SECONDS
        return list(found)

    def _find(self, prefix: str, found: list[str]) -> None:
        try:
            with db.dedicated_connection() as conn:
                found.extend(self._query(conn, prefix))
        except (Exception, SystemExit):  # noqa: BLE001 - without settings or a store, nothing is completed
            Lookup.paused_until = time.monotonic() + PAUSE_SECONDS


# Each query reads at most 200 entries of an index, however large the table is, and returns up to 20. A collation may
# sort other texts between those with the prefix, so a range alone is no prefix.


def find_organizations(conn: Conn, prefix: str) -> list[str]:
    """Return slugs of organizations that begin with the prefix."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(
            """
            SELECT slug FROM (
                SELECT slug FROM organizations WHERE erased_at IS NULL AND slug >= %(prefix)s ORDER BY slug LIMIT 200
            ) nearby WHERE starts_with(slug, %(prefix)s) ORDER BY slug LIMIT 20
            """,
            {"prefix": prefix},
        ).fetchall()


def find_usernames(conn: Conn, prefix: str) -> list[str]:
    """Return usernames that begin with the prefix, in any letter case."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(
            """
            SELECT username FROM (
                SELECT username, erased_at FROM players WHERE lower(username) >= lower(%(prefix)s)
                ORDER BY lower(username) LIMIT 200
            ) nearby WHERE erased_at IS NULL AND starts_with(lower(username), lower(%(prefix)s))
            ORDER BY lower(username) LIMIT 20
            """,
            {"prefix": prefix},
        ).fetchall()


def find_codes(conn: Conn, prefix: str) -> list[str]:
    """Return texts and aliases of codes that begin with the prefix."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(
            """
            SELECT code FROM (
                SELECT code, qr_code_id FROM code_texts WHERE code >= %(prefix)s ORDER BY code LIMIT 200
            ) nearby WHERE qr_code_id IS NOT NULL AND starts_with(code, %(prefix)s) ORDER BY code LIMIT 20
            """,
            {"prefix": prefix},
        ).fetchall()


def find_renders(conn: Conn, prefix: str) -> list[str]:
    """Return ids of the latest renders that begin with the prefix."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(
            """
            SELECT id::text FROM (SELECT id FROM render_jobs ORDER BY id DESC LIMIT 200) latest
            WHERE starts_with(id::text, %(prefix)s) ORDER BY id DESC LIMIT 20
            """,
            {"prefix": prefix},
        ).fetchall()


def find_imports(conn: Conn, prefix: str) -> list[str]:
    """Return ids of the latest imports that begin with the prefix."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(
            """
            SELECT id::text FROM (SELECT id FROM imports ORDER BY id DESC LIMIT 200) latest
            WHERE starts_with(id::text, %(prefix)s) ORDER BY id DESC LIMIT 20
            """,
            {"prefix": prefix},
        ).fetchall()


complete_organization = Lookup(find_organizations)
complete_username = Lookup(find_usernames)
complete_code = Lookup(find_codes)
complete_render = Lookup(find_renders)
complete_import = Lookup(find_imports)
