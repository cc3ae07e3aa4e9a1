"""Alembic's connection. It holds an advisory lock, so two migrations of one database never overlap.

Without a connection (`--sql`), Alembic prints the statements of the migrations instead.
"""

import time

import psycopg
import sqlalchemy
from alembic import context
from sqlalchemy import create_engine, pool, text

from migrations import NewerSchema
from shared.infra.logging import get_logger
from shared.settings import settings

log = get_logger()

# Any number that nothing else in this database locks.
LOCK = 5_217_230_001
POLL_SECONDS = 1.0
ATTEMPTS = 20
RETRIED = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)
MAX_PAUSE_SECONDS = 10.0


def wait_for_lock(connection: sqlalchemy.Connection) -> None:
    """Poll the lock, each time in a short transaction.

    CREATE INDEX CONCURRENTLY of the other migration waits for every older transaction. A transaction that waited for
    the lock would therefore deadlock with it.
    """
    while not connection.execute(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": LOCK}).scalar_one():
        connection.commit()
        time.sleep(POLL_SECONDS)
    connection.commit()


def migrate(connection: sqlalchemy.Connection) -> None:
    """Run the migrations. Retry one that waits for a lock for too long, because other statements wait behind it.

    Retry one that was in a deadlock with a request as well.
    """
    for attempt in range(1, ATTEMPTS + 1):
        # Each time: the build of an index that failed has left no limit.
        connection.execute(text("SET lock_timeout = '3s'"))
        connection.commit()
        context.configure(connection=connection, transaction_per_migration=True)
        try:
            with context.begin_transaction():
                context.run_migrations()
        except (*RETRIED, sqlalchemy.exc.OperationalError) as error:
            cause = getattr(error, "orig", error)
            if attempt == ATTEMPTS or not isinstance(cause, RETRIED):
                raise
            connection.rollback()
            log.warning("migration_retried", attempt=attempt, error=str(cause).splitlines()[0])
            time.sleep(min(0.5 * 2**attempt, MAX_PAUSE_SECONDS))
        else:
            return


def refuse_newer_schema(connection: sqlalchemy.Connection) -> None:
    """Raise NewerSchema if another release migrated further than the revisions of this code."""
    # Both tables exist since the base.
    if connection.execute(text("SELECT to_regclass('schema_floor')")).scalar_one() is not None:
        revision = connection.execute(text("SELECT max(version_num) FROM alembic_version")).scalar_one()
        floor = connection.execute(text("SELECT coalesce(max(code), 0) FROM schema_floor")).scalar_one()
        head = int(context.script.get_current_head() or 0)
        if revision is not None and int(revision) > head:
            raise NewerSchema(revision, is_supported=head >= floor)
    connection.commit()


def print_sql() -> None:
    """Print the statements of each migration, in a transaction."""
    context.configure(dialect_name="postgresql", transaction_per_migration=True)
    context.get_context().impl.static_output("SET lock_timeout = '3s';")
    with context.begin_transaction():
        context.run_migrations()


def main() -> None:
    """Migrate the database."""
    url = settings().direct_database_url.get_secret_value()
    # SQLAlchemy cannot read a URL with several hosts. psycopg can, as everywhere else.
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(url), poolclass=pool.NullPool)
    with engine.connect() as connection:
        wait_for_lock(connection)
        refuse_newer_schema(connection)
        migrate(connection)


if context.is_offline_mode():
    print_sql()
else:
    main()
