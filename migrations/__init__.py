"""The schema: Alembic revisions with handwritten SQL. `python -m migrations` migrates to head."""

from pathlib import Path
from typing import Any

from alembic import op
from alembic.config import Config
from alembic.script import ScriptDirectory
from psycopg.sql import SQL, Identifier

HERE = Path(__file__).parent


class NewerSchema(Exception):
    """The schema is newer than this code, as after a rollback. `is_supported` is whether this code can run on it."""

    def __init__(self, revision: str, *, is_supported: bool) -> None:
        super().__init__(revision)
        self.revision = revision
        self.is_supported = is_supported


def config() -> Config:
    """Return Alembic's configuration. `env.py` connects to DATABASE_URL."""
    configuration = Config()
    configuration.set_main_option("script_location", str(HERE))
    return configuration


def head() -> str:
    """Return the revision that the code needs."""
    return str(ScriptDirectory.from_config(config()).get_current_head())


def run_sql(name: str) -> None:
    """Run a file of `versions/` unchanged."""
    _execute((HERE / "versions" / name).read_text())


def create_index(name: str, statement: str) -> None:
    """Run CREATE INDEX CONCURRENTLY IF NOT EXISTS, outside a transaction, so that writes continue meanwhile.

    A failed build leaves an invalid index, so an index of this name is dropped first. What the revision did before is
    committed, and is not undone if the build fails: give an index a revision of its own.
    """
    with op.get_context().autocommit_block():
        # The build waits for older transactions, and nothing waits behind it.
        _execute("SET lock_timeout = 0;")
        _execute(SQL("DROP INDEX CONCURRENTLY IF EXISTS {};").format(Identifier(name)).as_string(None))
        _execute(f"{statement};")
        _execute("SET lock_timeout = '3s';")


def _execute(text: str) -> None:
    """Run SQL through the driver, which replaces no placeholders, or print it if there is no connection."""
    context = op.get_context()
    if context.as_sql:
        context.impl.static_output(text)
    else:
        driver: Any = op.get_bind().connection.driver_connection
        driver.execute(text)
