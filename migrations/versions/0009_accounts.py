"""Logins that end with a password, a player or by an operator; players who were erased."""

from migrations import run_sql

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    run_sql("0009_accounts.up.sql")


def downgrade() -> None:
    run_sql("0009_accounts.down.sql")
