"""`waymark codes`: list, show, activate, import and export codes. Each change is recorded in the audit log."""

import csv
import sys
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from uuid import UUID

import click

from shared.analytics import cache_versions
from shared.audit import store as audit
from shared.audit.store import OPERATOR
from shared.codes import rules, store
from shared.codes.filters import CodeFilter
from shared.codes.store import StoredCode
from shared.images.code_url import code_url
from shared.imports.export_rows import export_pages
from shared.infra import db
from shared.infra.db import Conn
from workers.cli.commands import CommandError, Group
from workers.cli.completions import complete_code, complete_organization
from workers.cli.csv_imports import import_file
from workers.cli.lookups import find_organization
from workers.cli.output import is_json, open_private, print_json, report, show_record, show_rows


@click.group(cls=Group)
def codes() -> None:
    """List, show, activate, import and export codes."""


@codes.command("list")
@click.argument("slug", shell_complete=complete_organization)
@click.option("--search", metavar="TEXT", help="Only codes with this in their text, an alias or the description.")
@click.option("--tag", help="Only codes with this tag.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, help="At most this many codes.")
def list_codes(slug: str, search: str | None, tag: str | None, limit: int) -> None:
    """List the codes of an organization, newest first."""
    with db.connection() as conn:
        org_id = find_organization(conn, slug)
        listed = store.list_for_organization(conn, org_id, CodeFilter(text=search, tag=tag), limit=limit)
    show_rows(
        (
            {
                "code": code.code,
                "scan_type": code.scan_type,
                "active": code.active,
                "description": code.description,
                "tags": code.tags,
                "id": code.id,
            }
            for code in listed
        ),
        empty=f"No codes of {slug}",
        limit=limit,
    )


@codes.command()
@click.argument("code", shell_complete=complete_code)
def show(code: str) -> None:
    """Show all fields of a code, and the address that its symbol encodes. CODE is its text, or an alias."""
    with db.connection() as conn:
        found = _find(conn, code)
    fields = {"url": None if found.rotating else code_url(found.code), "warnings": rules.warning_sentences(found)}
    if is_json():
        print_json(asdict(found) | fields)
    else:
        show_record({name: value for name, value in vars(found).items() if value not in (None, ())} | fields)


@codes.command()
@click.argument("code", shell_complete=complete_code)
def activate(code: str) -> None:
    """Let a code accept scans again."""
    _set_active(code, active=True)


@codes.command()
@click.argument("code", shell_complete=complete_code)
def deactivate(code: str) -> None:
    """Let a code accept no scans."""
    _set_active(code, active=False)


@codes.command("import")
@click.argument("slug", shell_complete=complete_organization)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--partial", is_flag=True, help="Add the valid rows even if others are invalid.")
@click.option("--dry-run", is_flag=True, help="Check the rows, and add none.")
@click.option("--no-wait", is_flag=True, help="Return while workers add the codes.")
def import_codes(slug: str, file: Path, partial: bool, dry_run: bool, no_wait: bool) -> None:
    """Create codes from a CSV file of up to 100,000 rows, and list the invalid ones.

    If a row is invalid, no code is created, unless --partial is given. Exits with 1 if a row is invalid.
    """
    import_file(slug, file, partial=partial, dry_run=dry_run, wait=not no_wait)


@codes.command()
@click.argument("slug", shell_complete=complete_organization)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write a file instead of stdout.")
def export(slug: str, output: Path | None) -> None:
    """Export all codes as CSV, in the columns of an import. The solutions of puzzles are included.

    Only the user who runs the command can read the file.
    """
    from shared.imports.csv_cells import COLUMNS

    with db.connection() as conn:
        org_id = find_organization(conn, slug)
    count = 0
    with nullcontext(sys.stdout) if output is None else open_private(output) as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for page in export_pages(org_id, list(COLUMNS)):
            for cells in page:
                writer.writerow(cells)
                count += 1
    if output is not None:
        report(f"Wrote {count:,} codes to {output}", codes=count, file=output)


def _set_active(text: str, *, active: bool) -> None:
    with db.transaction() as conn:
        code = _find(conn, text)
        store.lock(conn, code.org_id, code.id)
        # A statement of its own: it sees what another request changed before the lock was granted.
        locked = store.find(conn, code.org_id, code.id)
        if locked is None:
            raise CommandError(f"No code {text}")
        if locked.active != active:
            store.save(conn, replace(locked, active=active))
            audit.record(
                conn,
                OPERATOR,
                "code.changed",
                org_id=code.org_id,
                object_id=code.id,
                old={"active": not active},
                new={"active": active},
            )
            cache_versions.bump_version(conn, code.org_id)
    report(f"Code {locked.code} is {'active' if active else 'inactive'}", id=locked.id, code=locked.code, active=active)


def _find(conn: Conn, text: str) -> StoredCode:
    found = store.find_by_code(conn, text)
    if found is None:
        raise CommandError(f"No code {text}")
    return found


def code_ids(conn: Conn, org_id: UUID, texts: list[str]) -> list[UUID]:
    """Return the ids of these codes of the organization."""
    found = [_find(conn, text) for text in texts]
    for code in found:
        if code.org_id != org_id:
            raise CommandError(f"Code {code.code} belongs to another organization")
    return [code.id for code in found]
