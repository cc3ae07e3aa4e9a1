"""Check or adopt the directory for files, which web and workers share.

    python -m workers.cli.files check
    python -m workers.cli.files adopt

PostgreSQL records a marker in the directory. A process without it is not ready, and renders nothing. Adopt another
directory after a move or a restore without files. Renders whose files are missing then answer 404.
"""

import argparse
import sys

from shared.infra import db
from shared.infra.logging import configure
from shared.infra.storage import marker
from shared.infra.storage.base import StorageError
from shared.infra.storage.factory import storage
from shared.settings import settings


class CommandError(SystemExit):
    """The command changed nothing. The process prints the message and ends with status 1."""


def check() -> str:
    """Raise CommandError if this directory is not the one that the installation uses."""
    if not marker.is_shared(storage()):
        raise CommandError(marker.NOT_SHARED)
    return f"{settings().files_path} is the directory of this installation."


def adopt() -> str:
    """Make this directory that of the installation."""
    recorded = marker.adopt(storage())
    return f"Adopted {settings().files_path} with marker {recorded}. Restart processes that use another directory."


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m workers.cli.files", description="Check the directory for files.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("check", help="exit with 1 if this directory is not that of the installation")
    commands.add_parser("adopt", help="make this directory that of the installation")
    command = parser.parse_args(arguments).command
    configure("files")
    if settings().files_s3_bucket is not None:
        raise CommandError("FILES_S3_BUCKET is set. A bucket needs no marker.")
    db.require_database()
    try:
        print(check() if command == "check" else adopt())
    except StorageError as error:
        raise CommandError(str(error)) from error
    finally:
        db.close_pool()


if __name__ == "__main__":
    main(sys.argv[1:])
