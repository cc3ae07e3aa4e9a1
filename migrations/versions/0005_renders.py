"""Bulk renders: what was asked for, and the chunks that workers share."""

from migrations import run_sql

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    run_sql("0005_renders.up.sql")


def downgrade() -> None:
    run_sql("0005_renders.down.sql")
