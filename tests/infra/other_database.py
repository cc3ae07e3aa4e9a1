"""A second database on the server of the tests, with the same schema."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.sql import SQL, Identifier, Literal

import migrations
from shared.infra import db
from shared.infra.db import Conn
from shared.settings import settings

NAME = "other"
RESTORED = ("events", "log_positions", "log_servers")


@contextmanager
def other_database() -> Iterator[str]:
    """Create the database, and yield its URL. It has the schema, and no row."""
    url = make_conninfo(settings().database_url.get_secret_value(), dbname=NAME)
    with db.dedicated_connection() as conn:
        conn.execute(SQL("CREATE DATABASE {}").format(Identifier(NAME)))
        try:
            with psycopg.connect(url) as other:
                other.execute((Path(migrations.__file__).parent / "versions/0001_base.up.sql").read_bytes())
            yield url
        finally:
            conn.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(NAME)))


@contextmanager
def scaler_database(conn: Conn) -> Iterator[str]:
    """As `other_database`, migrated after an operator created the role of the autoscaler."""
    conn.execute("CREATE ROLE waymark_scaler")
    try:
        with other_database() as url:
            yield url
    finally:
        conn.execute("DROP ROLE waymark_scaler")


def restore_log(conn: Conn, restored: Conn) -> None:
    """Copy the event log to the other database, as a dump and a restore do."""
    for table in RESTORED:
        name = Identifier(table)
        restored.execute(SQL("DELETE FROM {}").format(name))
        with (
            conn.cursor() as source,
            restored.cursor() as target,
            source.copy(SQL("COPY {} TO STDOUT").format(name)) as rows,
            target.copy(SQL("COPY {} FROM STDIN").format(name)) as copied,
        ):
            for row in rows:
                copied.write(row)
    last = conn.execute("SELECT coalesce(max(id), 0) + 1 FROM events").fetchone()
    assert last is not None
    restored.execute(SQL("ALTER TABLE events ALTER COLUMN id RESTART WITH {}").format(Literal(last[0])))
