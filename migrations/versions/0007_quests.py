"""Quests: the catalog's tables, the events that progress is made of, and what was claimed."""

from migrations import run_sql

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    run_sql("0007_quests.up.sql")


def downgrade() -> None:
    run_sql("0007_quests.down.sql")
