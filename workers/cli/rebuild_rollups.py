"""Rebuild rollups from the scans and visits, beside the running service.

python -m workers.cli.rebuild_rollups --all         of every organization
python -m workers.cli.rebuild_rollups --org ID      of one organization and its codes
python -m workers.cli.rebuild_rollups --code ID     of one code
"""

import argparse
import sys
from uuid import UUID

from shared.analytics import rebuild as rebuilding
from shared.analytics.rebuild import RebuildTarget
from shared.infra import db
from shared.infra.logging import configure
from workers.analytics import rebuild


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m workers.cli.rebuild_rollups", description="Rebuild rollups")
    targets = parser.add_mutually_exclusive_group(required=True)
    targets.add_argument("--all", action="store_true", help="of every organization")
    targets.add_argument("--org", type=UUID, metavar="ID", help="of an organization and its codes")
    targets.add_argument("--code", type=UUID, metavar="ID", help="of a code")
    options = parser.parse_args(arguments)
    configure("rebuild_rollups")
    db.require_database()
    try:
        scans = sum(rebuild(target) for target in find_targets(options.org, options.code))
    finally:
        db.close_pool()
    print(f"Rollups rebuilt: {scans:,} scans")


def find_targets(org_id: UUID | None, code_id: UUID | None) -> list[RebuildTarget]:
    """Return the code, else the organization, else every organization. Exit if the code does not exist."""
    with db.connection() as conn:
        if code_id is None:
            org_ids = rebuilding.organizations(conn) if org_id is None else [org_id]
            return [rebuilding.of_organization(conn, found) for found in org_ids]
        target = rebuilding.for_code(conn, code_id)
        if target is None:
            raise SystemExit(f"No code {code_id}")
        return [target]


if __name__ == "__main__":
    main(sys.argv[1:])
