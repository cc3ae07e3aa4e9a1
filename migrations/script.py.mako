"""${message}."""

# A release migrates first, and then replaces the processes one by one. So the code of the last release must run on this
# schema, too (docs/upgrading.md). `.ci/migrations` checks the statements.
#
# - Add. Remove only what the last release does not use, and raise the floor, so that older processes are not ready:
#   op.execute("UPDATE schema_floor SET code = <the first revision whose code does not need it>")
# - Index a table that exists with `migrations.create_index`, in a revision of its own.
# - Add a constraint NOT VALID, and VALIDATE it in another revision.
# - Change many rows in batches, by a worker: a long transaction delays its events.
from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    op.execute("""${upgrades if upgrades != "pass" else ""}""")


def downgrade() -> None:
    op.execute("""${downgrades if downgrades != "pass" else ""}""")
