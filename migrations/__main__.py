"""Migrate the schema: `python -m migrations [upgrade|downgrade] [revision]`, to head by default.

Concurrent releases are serialized by a lock.
"""

import sys

from alembic import command

from migrations import config
from shared.infra import db
from shared.infra.logging import configure


def main(direction: str = "upgrade", revision: str = "head") -> None:
    configure("release")
    if direction not in ("upgrade", "downgrade"):
        raise SystemExit("usage: python -m migrations [upgrade|downgrade] [revision]")
    db.require_database()
    getattr(command, direction)(config(), revision)


if __name__ == "__main__":
    main(*sys.argv[1:3])
