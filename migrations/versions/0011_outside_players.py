"""Players whom an outside authentication service names."""

from migrations import run_sql

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    run_sql("0011_outside_players.up.sql")


def downgrade() -> None:
    run_sql("0011_outside_players.down.sql")
