"""Generated codes: what was asked for, the pictures made of it, and what is left of a code that expired."""

from migrations import run_sql

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    run_sql("0003_generated_codes.up.sql")


def downgrade() -> None:
    run_sql("0003_generated_codes.down.sql")
