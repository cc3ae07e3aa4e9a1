"""Imports of CSV files: staged here, added by the process bulk, and watched until their end."""

from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

import click

from shared.audit import store as audit
from shared.audit.store import OPERATOR
from shared.imports import staging, store
from shared.imports.csv_reader import open_csv
from shared.imports.rules import ImportJob
from shared.infra import db
from shared.infra.message_sender import background_sender
from shared.messages import ImportsPending
from shared.organizations import usage
from workers.cli.commands import ID, CommandError, Group
from workers.cli.completions import complete_import, complete_organization
from workers.cli.lookups import find_organization
from workers.cli.output import is_json, print_json, report, say, show_rows
from workers.cli.watching import watch as watch_job

MAX_BYTES = 64 * 2**20
MAX_ROWS_SHOWN = 20


@click.group(cls=Group)
def imports() -> None:
    """Watch imports of codes."""


@imports.command()
@click.argument("slug", shell_complete=complete_organization)
@click.argument("import_id", metavar="ID", type=ID, shell_complete=complete_import)
def watch(slug: str, import_id: UUID) -> None:
    """Show the progress of an import until it ends, and list its invalid rows. Ctrl-C does not stop the import."""
    with db.connection() as conn:
        org_id = find_organization(conn, slug)
    _watch(org_id, import_id)


def import_file(slug: str, file: Path, *, partial: bool, dry_run: bool, wait: bool) -> None:
    """Stage the rows of a file for workers, and watch the import."""
    if file.stat().st_size > MAX_BYTES:
        raise CommandError(f"{file} is larger than 64 MiB. Split it.")
    with file.open("rb") as opened:
        org_id, job = _stage(slug, opened, partial=partial, dry_run=dry_run)
    background_sender.submit(ImportsPending())
    background_sender.flush()
    if wait:
        _watch(org_id, job.id)
    else:
        report(f"Started import {job.id}. See `waymark imports watch {slug} {job.id}`", import_id=job.id)


def _stage(slug: str, file: BinaryIO, *, partial: bool, dry_run: bool) -> tuple[UUID, ImportJob]:
    with db.transaction() as conn:
        org_id = find_organization(conn, slug)
        store.check_open(conn, org_id, more=1)
        table = open_csv(file)
        job = store.create(conn, org_id, table.columns, partial=partial, dry_run=dry_run)
        total = staging.copy_rows(conn, job.id, table.rows)
        store.set_total(conn, job.id, total)
        # Behind the lock of the usage, imports that start at once are counted in turn.
        usage.lock(conn, org_id)
        store.check_open(conn, org_id)
        if not dry_run:
            new = {"rows": total, "partial": partial}
            audit.record(conn, OPERATOR, "import.started", org_id=org_id, object_id=job.id, new=new)
    return org_id, job


def _watch(org_id: UUID, import_id: UUID) -> None:
    job = watch_job("Importing", ImportsPending(), lambda: _read(org_id, import_id))
    failed = [dict(row) for row in job.outcomes if row["status"] == "failed"]
    values: dict[str, Any] = {
        "import_id": job.id,
        "status": job.status,
        "total": job.total,
        "added": job.done,
        "failed": job.failed,
    }
    if is_json():
        print_json(values | {"message": job.message, "rows": list(job.outcomes)})
    else:
        if failed:
            names = ("line", "field", "code", "message")
            show_rows([{name: row[name] for name in names} for row in failed[:MAX_ROWS_SHOWN]], empty="")
            if len(failed) > MAX_ROWS_SHOWN:
                say(f"These are the first {MAX_ROWS_SHOWN} of {job.failed:,} invalid rows. --json lists up to 1,000.")
        checked = "Checked" if job.dry_run else "Imported"
        report(job.message or f"{checked} {job.total:,} rows: {job.done:,} codes added, {job.failed:,} rows invalid")
    if job.status == "failed" or job.failed:
        click.get_current_context().exit(1)


def _read(org_id: UUID, import_id: UUID) -> ImportJob:
    with db.connection() as conn:
        job = store.find(conn, org_id, import_id)
    if job is None:
        raise CommandError(f"No import {import_id}")
    return job
