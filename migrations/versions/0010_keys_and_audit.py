"""API keys of organizations, the scans that they handed in, and the audit trail."""

from migrations import run_sql

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    run_sql("0010_keys_and_audit.up.sql")


def downgrade() -> None:
    run_sql("0010_keys_and_audit.down.sql")
