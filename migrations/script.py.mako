"""${message}."""

# A release first migrates, and then replaces the processes one by one. So the code of the last release runs on this
# schema, too (docs/upgrading.md):
#
# - Add, and remove in the next release. Then raise the floor, so that older processes are no longer ready:
#   op.execute("UPDATE schema_floor SET code = <revision of the last release that adds>")
# - Index a table that exists with `migrations.create_index`, in a revision of its own, so that writes continue.
# - Add a constraint NOT VALID, and VALIDATE it in a second revision.
# - Change rows in batches, by a worker: a long transaction delays the event log.
from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    op.execute("""${upgrades if upgrades != "pass" else ""}""")


def downgrade() -> None:
    op.execute("""${downgrades if downgrades != "pass" else ""}""")
