"""${message}."""

from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    op.execute("""${upgrades if upgrades != "pass" else ""}""")


def downgrade() -> None:
    op.execute("""${downgrades if downgrades != "pass" else ""}""")
