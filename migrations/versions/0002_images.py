"""Images: how a code's picture looks, and what cached statistics are named by."""

from migrations import run_sql

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    run_sql("0002_images.up.sql")


def downgrade() -> None:
    run_sql("0002_images.down.sql")
