"""Puzzles tried and solved; what an organization asks of fair play; scans reviewed by staff, and why they were held."""

from migrations import run_sql

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    run_sql("0008_fair_play.up.sql")


def downgrade() -> None:
    run_sql("0008_fair_play.down.sql")
