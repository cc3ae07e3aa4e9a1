"""Rollups: scans and visits counted per quarter of an hour and per day, and the visits themselves."""

from migrations import run_sql

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    run_sql("0006_rollups.up.sql")


def downgrade() -> None:
    run_sql("0006_rollups.down.sql")
