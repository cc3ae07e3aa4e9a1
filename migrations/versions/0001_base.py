"""The base schema. `0001_base.up.sql` reads from top to bottom, one section per subject."""

from migrations import run_sql

revision = "0001"
down_revision = None


def upgrade() -> None:
    run_sql("0001_base.up.sql")


def downgrade() -> None:
    run_sql("0001_base.down.sql")
