"""`waymark files`: check or adopt the directory for files, which web and workers share.

PostgreSQL records a marker in the directory. A process without it is not ready, and renders nothing.
"""

import click

from shared.audit import store as audit
from shared.audit.store import OPERATOR
from shared.infra import db
from shared.infra.storage import marker
from shared.infra.storage.factory import storage
from shared.settings import settings
from workers.cli.commands import CommandError, Group
from workers.cli.output import report


@click.group(cls=Group)
def files() -> None:
    """Check or adopt the directory for files."""


@files.command()
def check() -> None:
    """Exit with 1 if this directory is not the one that the installation uses."""
    _require_directory()
    if not marker.is_shared(storage()):
        raise CommandError(marker.NOT_SHARED)
    report(f"{settings().files_path} is the directory of this installation.", directory=settings().files_path)


@files.command()
def adopt() -> None:
    """Make this directory that of the installation, after a move or a restore without files.

    Downloads of renders whose files are missing then answer 404.
    """
    _require_directory()
    recorded = marker.adopt(storage())
    with db.connection() as conn:
        audit.record(conn, OPERATOR, "files.adopted", org_id=None, new={"marker": recorded})
    report(
        f"Adopted {settings().files_path} with marker {recorded}. Restart processes that use another directory.",
        directory=settings().files_path,
        marker=recorded,
    )


def _require_directory() -> None:
    if settings().files_s3_bucket is not None:
        raise CommandError("FILES_S3_BUCKET is set. A bucket needs no marker.")
