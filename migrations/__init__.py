"""The schema, as Alembic revisions with their SQL written by hand. `python -m migrations` brings it to head."""

from pathlib import Path
from typing import Any

from alembic import op
from alembic.config import Config
from alembic.script import ScriptDirectory

HERE = Path(__file__).parent


def config() -> Config:
    """Alembic's configuration; the database comes from DATABASE_URL."""
    found = Config()
    found.set_main_option("script_location", str(HERE))
    return found


def head() -> str:
    """The revision that the code needs."""
    return str(ScriptDirectory.from_config(config()).get_current_head())


def run_sql(name: str) -> None:
    """Run a file of `versions/` as it stands: through the driver, which reads no placeholders into it."""
    driver: Any = op.get_bind().connection.driver_connection
    driver.execute((HERE / "versions" / name).read_text())
