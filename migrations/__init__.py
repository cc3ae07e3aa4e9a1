"""The schema: Alembic revisions with handwritten SQL. `python -m migrations` migrates to head."""

from pathlib import Path
from typing import Any

from alembic import op
from alembic.config import Config
from alembic.script import ScriptDirectory
from psycopg.sql import SQL, Identifier

HERE = Path(__file__).parent


def config() -> Config:
    """Return Alembic's configuration. `env.py` connects to DATABASE_URL."""
    configuration = Config()
    configuration.set_main_option("script_location", str(HERE))
    return configuration


def head() -> str:
    """Return the revision that the code needs."""
    return str(ScriptDirectory.from_config(config()).get_current_head())


def run_sql(name: str) -> None:
    """Run a file of `versions/` unchanged, through the driver, which replaces no placeholders."""
    driver: Any = op.get_bind().connection.driver_connection
    driver.execute((HERE / "versions" / name).read_text())


def create_index(name: str, statement: str) -> None:
    """Run CREATE INDEX CONCURRENTLY, outside a transaction, so that writes continue meanwhile.

    A failed build leaves an invalid index, so an index of this name is dropped first.
    """
    driver: Any = op.get_bind().connection.driver_connection
    with op.get_context().autocommit_block():
        # The build waits for older transactions, and nothing waits behind it.
        driver.execute("SET lock_timeout = 0")
        driver.execute(SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(Identifier(name)))
        driver.execute(statement)
        driver.execute("SET lock_timeout = '3s'")
