"""The main job: players, organizations, codes, scans, the event log and the ledger."""

from migrations import run_sql

revision = "0001"
down_revision = None


def upgrade() -> None:
    run_sql("0001_main_job.up.sql")


def downgrade() -> None:
    run_sql("0001_main_job.down.sql")
