"""Migrate the schema: `python -m migrations [upgrade|downgrade] [revision]`, to head by default.

Concurrent releases are serialized by a lock.
"""

import sys

import psycopg
from alembic import command
from sqlalchemy.exc import DBAPIError

from migrations import NewerSchema, config, head
from shared.infra import db
from shared.infra.logging import configure, get_logger

log = get_logger()


def main(direction: str = "upgrade", revision: str = "head") -> None:
    configure("release")
    if direction not in ("upgrade", "downgrade"):
        raise SystemExit("usage: python -m migrations [upgrade|downgrade] [revision]")
    db.require_database()
    try:
        getattr(command, direction)(config(), revision)
    except NewerSchema as newer:
        if direction == "upgrade" and revision == "head" and newer.is_supported:
            log.info("schema_is_newer", schema=newer.revision, code=head())
            return
        raise SystemExit(
            f"The schema has revision {newer.revision}, and this version of Waymark knows {head()} at most. "
            "Use the version that migrated it, or a newer one."
        ) from None
    except (DBAPIError, psycopg.Error) as error:
        log.exception("migration_failed")
        raise SystemExit(
            f"The migration failed: {db.describe(getattr(error, 'orig', None) or error)}\n"
            "The revisions before it are committed, and its own changes are undone. Remove the cause, and run it again."
        ) from None


if __name__ == "__main__":
    main(*sys.argv[1:3])
