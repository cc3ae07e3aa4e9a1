"""Whereabouts by whose hand they were told; the audit trail by action and by actor."""

from migrations import run_sql

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    run_sql("0012_hands_and_trails.up.sql")


def downgrade() -> None:
    run_sql("0012_hands_and_trails.down.sql")
