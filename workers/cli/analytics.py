"""`waymark analytics`: rebuild the rollups from the scans and visits, beside the running service."""

from uuid import UUID

import click

from shared.analytics import rebuild as rebuilding
from shared.analytics.rebuild import RebuildTarget
from shared.audit import store as audit
from shared.audit.store import OPERATOR
from shared.infra import db
from shared.organizations import store as organizations
from workers.cli.commands import ID, CommandError, Group
from workers.cli.output import progress, report


@click.group(cls=Group)
def analytics() -> None:
    """Rebuild the counts of scans and visits."""


@analytics.command()
@click.option("--all", "everything", is_flag=True, help="Rebuild every organization.")
@click.option("--org", "org_id", type=ID, help="Rebuild one organization and its codes.")
@click.option("--code", "code_id", type=ID, help="Rebuild one code.")
def rebuild(everything: bool, org_id: UUID | None, code_id: UUID | None) -> None:
    """Rebuild rollups, for example after verdicts were changed by hand. The service can run meanwhile."""
    if [everything, org_id is not None, code_id is not None].count(True) != 1:
        raise click.UsageError("Give one of --all, --org ID and --code ID.")
    from workers.analytics import rebuild as rebuild_target  # makes a broker

    scans = 0
    for target in progress(find_targets(org_id, code_id), "Rebuilding"):
        with db.connection() as conn:
            audit.record(conn, OPERATOR, "analytics.rebuilt", org_id=target.org_id, object_id=code_id or target.org_id)
        scans += rebuild_target(target)
    report(f"Rollups rebuilt: {scans:,} scans", scans=scans)


def find_targets(org_id: UUID | None, code_id: UUID | None) -> list[RebuildTarget]:
    """Return the code, else the organization, else every organization."""
    with db.connection() as conn:
        if code_id is None:
            if org_id is not None and not organizations.exists(conn, org_id):
                raise CommandError(f"No organization {org_id}")
            org_ids = rebuilding.organizations(conn) if org_id is None else [org_id]
            return [rebuilding.of_organization(conn, found) for found in org_ids]
        target = rebuilding.for_code(conn, code_id)
        if target is None:
            raise CommandError(f"No code {code_id}")
        return [target]
