"""Delete and restore organizations, and invite owners. Each change is recorded in the audit log.

    python -m workers.cli.organizations list [--closed]
    python -m workers.cli.organizations delete SLUG NAME
    python -m workers.cli.organizations restore SLUG
    python -m workers.cli.organizations invite-owner SLUG USERNAME

A deleted organization is closed at once, and erased after seven days. Until then it can be restored. Invite an owner
first if it has none.
"""

import argparse
import sys
from datetime import UTC, datetime
from uuid import UUID

from shared.accounts import store as accounts
from shared.audit import store as audit
from shared.audit.store import OPERATOR
from shared.errors import DomainError
from shared.infra import db
from shared.infra.db import Conn
from shared.infra.logging import configure
from shared.infra.pubsub_messages import publish_access_change
from shared.infra.timestamps import format_rfc3339
from shared.organizations import closing, invitations, members, store
from shared.organizations.rules import INVITATION_LIFETIME, RESTORE_PERIOD


class CommandError(SystemExit):
    """The command changed nothing. The process prints the message and ends with status 1."""


def list_organizations(*, only_closed: bool) -> str:
    """Return one line per organization that is not erased: slug, id, name, and when it closed or will close."""
    with db.connection() as conn:
        listed = closing.list_all(conn, only_closed=only_closed)
    return (
        "\n".join(
            f"{slug:32}{org_id}  {name}{f', closed from {format_rfc3339(closed_at)}' if closed_at else ''}"
            for org_id, slug, name, closed_at in listed
        )
        or "No organizations"
    )


def delete(slug: str, name: str) -> str:
    """Close an organization, if this is its name. It is erased after seven days."""
    with db.transaction() as conn:
        org_id = _lock(conn, slug)
        organization = store.get_public(conn, slug)
        if organization is None or organization.name != name:
            raise CommandError(f"{slug} has another name")
        if organization.is_closed:
            raise CommandError(f"{slug} is already closed")
        closing.close(conn, org_id)
        audit.record(conn, OPERATOR, "organization.closed", org_id=org_id, object_id=org_id)
    publish_access_change(org_id)
    return f"Closed {slug} ({org_id}). It can be restored for {RESTORE_PERIOD.days} days"


def restore(slug: str) -> str:
    """Open a closed organization again, or cancel a closing that is still ahead."""
    with db.transaction() as conn:
        org_id = _lock(conn, slug)
        if not closing.restore(conn, org_id):
            raise CommandError(f"{slug} is not closed, or was closed more than {RESTORE_PERIOD.days} days ago")
        audit.record(conn, OPERATOR, "organization.restored", org_id=org_id, object_id=org_id)
    return f"Restored {slug} ({org_id})"


def invite_owner(slug: str, username: str) -> str:
    """Invite a player to own an organization. The invitation replaces an earlier one of the player."""
    with db.transaction() as conn:
        player_id = accounts.find_id(conn, username)
        if player_id is None or not invitations.lock_player(conn, player_id):
            raise CommandError(f"No player {username}")
        org_id = _lock(conn, slug)
        members.require_lower_role(conn, org_id, player_id, "owner")
        invitations.revoke_for_player(conn, org_id, player_id)
        expires_at = datetime.now(UTC) + INVITATION_LIFETIME
        offer = invitations.add(conn, org_id, "owner", player_id=player_id, expires_at=expires_at, created_by=None)
        new = {"role": offer.role, "player_id": offer.player_id, "uses": offer.uses}
        audit.record(conn, OPERATOR, "invitation.created", org_id=org_id, object_id=offer.id, new=new)
    return f"Invited {username} to own {slug}, until {format_rfc3339(offer.expires_at)}"


def _lock(conn: Conn, slug: str) -> UUID:
    org_id = store.find_id_by_slug(conn, slug)
    if org_id is None or not store.exists(conn, org_id):
        raise CommandError(f"No organization {slug}")
    store.lock(conn, org_id)
    return org_id


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m workers.cli.organizations", description="Delete and restore organizations, and invite owners."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    listing = commands.add_parser("list", help="list organizations that are not erased")
    listing.add_argument("--closed", action="store_true", help="only those that are closed, or will be")
    deletion = commands.add_parser("delete", help="close an organization, and erase it after seven days")
    deletion.add_argument("slug")
    deletion.add_argument("name", help="its name, to confirm")
    commands.add_parser("restore", help="open a closed organization again").add_argument("slug")
    invitation = commands.add_parser("invite-owner", help="invite a player to own an organization")
    invitation.add_argument("slug")
    invitation.add_argument("username")
    return parser.parse_args(arguments)


def run(arguments: argparse.Namespace) -> str:
    """Run the command, and return its output."""
    match arguments.command:
        case "list":
            return list_organizations(only_closed=arguments.closed)
        case "delete":
            return delete(arguments.slug, arguments.name)
        case "restore":
            return restore(arguments.slug)
        case _:
            return invite_owner(arguments.slug, arguments.username)


def main(arguments: list[str]) -> None:
    parsed = parse(arguments)
    configure("organizations")
    db.require_database()
    try:
        print(run(parsed))
    except DomainError as error:
        raise CommandError(str(error)) from error
    finally:
        db.close_pool()


if __name__ == "__main__":
    main(sys.argv[1:])
