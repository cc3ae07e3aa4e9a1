"""The tests' database: which tables it has, and how it is emptied."""

from shared.infra.db import Conn


def table_names(conn: Conn) -> list[str]:
    """Every table with data, in alphabetical order. Migrations alone write the others."""
    rows = conn.execute(
        """
        SELECT tablename FROM pg_tables
        WHERE schemaname = 'public' AND tablename NOT IN ('alembic_version', 'schema_floor', 'spatial_ref_sys')
        ORDER BY tablename
        """
    )
    return [row[0] for row in rows]


def create_empty_database(conn: Conn) -> None:
    """Create the function behind `empty_database`, once the schema is complete.

    Deleting the few rows of a test takes a seventeenth of the time of truncating all tables. Foreign keys and triggers
    are off meanwhile, so the order does not matter. Once a table has grown, all are truncated: later scans would read
    its dead rows.
    """
    tables = table_names(conn)
    deletes = "\n".join(f"DELETE FROM {table};" for table in tables)
    conn.execute(
        f"""
        CREATE FUNCTION test_empty_database() RETURNS void LANGUAGE plpgsql AS $$
        BEGIN
            IF EXISTS (SELECT FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
                       AND pg_relation_size(oid) > 512 * 1024) THEN
                TRUNCATE {", ".join(tables)};
            ELSE
                SET LOCAL session_replication_role = replica;
                {deletes}
            END IF;
        END
        $$
        """
    )


def empty_database(conn: Conn) -> None:
    """Delete every row of every table."""
    conn.execute("SELECT test_empty_database()")
