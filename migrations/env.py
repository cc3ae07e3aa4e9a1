"""Alembic's connection. It holds an advisory lock, so two migrations of one database never overlap."""

from alembic import context
from sqlalchemy import create_engine, pool, text

from shared.settings import settings

# Any number that nothing else in this database locks.
LOCK = 5_217_230_001

url = settings().database_url.get_secret_value().replace("postgresql://", "postgresql+psycopg://", 1)
engine = create_engine(url, poolclass=pool.NullPool)

with engine.connect() as connection:
    connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": LOCK})
    connection.commit()
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
