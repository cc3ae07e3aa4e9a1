"""Imports: a file's rows until they are judged, what was judged until it is added, and the outcome."""

from migrations import run_sql

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    run_sql("0004_imports.up.sql")


def downgrade() -> None:
    run_sql("0004_imports.down.sql")
