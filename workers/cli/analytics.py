"""`waymark analytics`: rebuild the rollups from the scans and visits, beside the running service."""

from uuid import UUID

import click

from shared.analytics import rebuild as rebuilding
from shared.analytics.rebuild import RebuildTarget
from shared.audit import store as audit
from shared.audit.store import OPERATOR
from shared.codes import store as codes
from shared.infra import db
from shared.infra.db import Conn
from shared.organizations import store as organizations
from workers.cli.commands import CommandError, Group
from workers.cli.completions import complete_code, complete_organization
from workers.cli.lookups import find_organization
from workers.cli.output import progress, report


@click.group(cls=Group)
def analytics() -> None:
    """Rebuild the counts of scans and visits."""


@analytics.command()
@click.option("--all", "everything", is_flag=True, help="Rebuild every organization.")
@click.option(
    "--org",
    metavar="SLUG",
    shell_complete=complete_organization,
    help="Rebuild one organization and its codes: its slug or id.",
)
@click.option("--code", metavar="CODE", shell_complete=complete_code, help="Rebuild one code: its text or id.")
def rebuild(everything: bool, org: str | None, code: str | None) -> None:
    """Rebuild rollups, for example after verdicts were changed by hand. The service can run meanwhile."""
    if [everything, org is not None, code is not None].count(True) != 1:
        raise click.UsageError("Give one of --all, --org SLUG and --code CODE.")
    from workers.analytics import rebuild as rebuild_target  # makes a broker

    scans = 0
    for target in progress(find_targets(org, code), "Rebuilding"):
        object_id = target.org_id if target.with_org else target.code_ids[0]
        with db.connection() as conn:
            audit.record(conn, OPERATOR, "analytics.rebuilt", org_id=target.org_id, object_id=object_id)
        scans += rebuild_target(target)
    report(f"Rollups rebuilt: {scans:,} scans", scans=scans)


def find_targets(org: str | None, code: str | None) -> list[RebuildTarget]:
    """Return the code, else the organization, else every organization."""
    with db.connection() as conn:
        if code is not None:
            return [_code(conn, code)]
        org_ids = rebuilding.organizations(conn) if org is None else [_organization_id(conn, org)]
        return [rebuilding.of_organization(conn, org_id) for org_id in org_ids]


def _organization_id(conn: Conn, name: str) -> UUID:
    org_id = _as_id(name)
    return org_id if org_id and organizations.exists(conn, org_id) else find_organization(conn, name)


def _code(conn: Conn, name: str) -> RebuildTarget:
    # A deleted code has scans, and is found by its id only. The text of a code can look like an id.
    code_id = _as_id(name)
    target = rebuilding.for_code(conn, code_id) if code_id else None
    if target is None and (found := codes.find_by_code(conn, name)):
        target = rebuilding.for_code(conn, found.id)
    if target is None:
        raise CommandError(f"No code {name}")
    return target


def _as_id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
