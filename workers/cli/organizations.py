"""`waymark organizations`: list, create, transfer, delete and restore organizations.

Each change is recorded in the audit log. A deleted organization is closed at once, and erased after seven days. Until
then it can be restored. Transfer it first if it has no owner.
"""

from dataclasses import asdict
from datetime import UTC, datetime
from uuid import UUID

import click

from shared.audit import store as audit
from shared.audit.store import OPERATOR
from shared.infra import db
from shared.infra.db import Conn
from shared.infra.pubsub_messages import publish_access_change
from shared.organizations import closing, invitations, members, store
from shared.organizations.rules import INVITATION_LIFETIME, RESTORE_PERIOD
from workers.cli.commands import CommandError, Group, confirm, yes_option
from workers.cli.completions import complete_organization, complete_username
from workers.cli.lookups import find_organization, find_player, lock_organization
from workers.cli.output import report, show_rows
from workers.cli.tables import as_text


class OrganizationNameType(click.ParamType[str]):
    """A name that an organization may have."""

    name = "name"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not (1 <= len(value) <= 200 and value.isprintable() and value.strip()):
            self.fail("Use 1 to 200 characters on one line.", param, ctx)
        return value


ORGANIZATION_NAME = OrganizationNameType()
MAX_MEMBERS_LISTED = 10_000


@click.group(cls=Group)
def organizations() -> None:
    """List, create, transfer, delete and restore organizations."""


@organizations.command("list")
@click.option("--closed", is_flag=True, help="Only organizations that are closed, or will be.")
def list_organizations(closed: bool) -> None:
    """List organizations that are not erased."""
    with db.connection() as conn:
        listed = closing.list_all(conn, only_closed=closed)
    show_rows(
        (
            {"slug": slug, "id": org_id, "name": name, "closed_at": closed_at}
            for org_id, slug, name, closed_at in listed
        ),
        empty="No organizations",
    )


@organizations.command()
@click.argument("slug", shell_complete=complete_organization)
@yes_option
def delete(slug: str, yes: bool) -> None:
    """Close an organization, and erase it after seven days."""
    with db.connection() as conn:
        organization = store.get_public(conn, slug)
    if organization is None:
        raise CommandError(f"No organization {slug}")
    confirm(f"Close {organization.name} ({slug}), and erase it after {RESTORE_PERIOD.days} days?", yes=yes)
    with db.transaction() as conn:
        org_id = lock_organization(conn, slug)
        if store.is_closed(conn, org_id):
            raise CommandError(f"{slug} is already closed")
        closing.close(conn, org_id)
        audit.record(conn, OPERATOR, "organization.closed", org_id=org_id, object_id=org_id)
    publish_access_change(org_id)
    report(f"Closed {slug} ({org_id}). It can be restored for {RESTORE_PERIOD.days} days", slug=slug, id=org_id)


@organizations.command()
@click.argument("slug", shell_complete=complete_organization)
def restore(slug: str) -> None:
    """Open a closed organization again, or cancel a closing that is still ahead."""
    with db.transaction() as conn:
        org_id = lock_organization(conn, slug)
        if not closing.restore(conn, org_id):
            raise CommandError(f"{slug} is not closed, or was closed more than {RESTORE_PERIOD.days} days ago")
        audit.record(conn, OPERATOR, "organization.restored", org_id=org_id, object_id=org_id)
    report(f"Restored {slug} ({org_id})", slug=slug, id=org_id)


@organizations.command()
@click.argument("name", type=ORGANIZATION_NAME)
@click.option(
    "--owner", required=True, metavar="USERNAME", shell_complete=complete_username, help="The player who owns it."
)
def create(name: str, owner: str) -> None:
    """Create an organization that an existing player owns."""
    with db.transaction() as conn:
        player_id = find_player(conn, owner)
        if not invitations.lock_player(conn, player_id):
            raise CommandError(f"No player {owner}")
        org_id = add_organization(conn, player_id, name)
        slug = store.get_slug(conn, org_id)
    report(f"Created {name}: {slug} ({org_id}), owned by {owner}", id=org_id, slug=slug, name=name, owner_id=player_id)


def add_organization(conn: Conn, owner_id: UUID, name: str) -> UUID:
    """Store an organization with its owner and the entry of the audit log. Return its id."""
    org_id = store.add(conn, owner_id, name, None, None)
    audit.record(conn, OPERATOR, "organization.created", org_id=org_id, object_id=org_id, new={"name": name})
    return org_id


@organizations.command("members")
@click.argument("slug", shell_complete=complete_organization)
def list_members(slug: str) -> None:
    """List the members of an organization and their roles."""
    with db.connection() as conn:
        listed = members.list_members(conn, find_organization(conn, slug), limit=MAX_MEMBERS_LISTED)
    show_rows(map(asdict, listed), empty=f"No members of {slug}")


@organizations.command()
@click.argument("slug", shell_complete=complete_organization)
@click.argument("username", shell_complete=complete_username)
def transfer(slug: str, username: str) -> None:
    """Offer an organization to a player, who owns it after accepting the invitation.

    The invitation replaces an earlier one of the player. Present owners remain.
    """
    with db.transaction() as conn:
        player_id = find_player(conn, username)
        if not invitations.lock_player(conn, player_id):
            raise CommandError(f"No player {username}")
        org_id = lock_organization(conn, slug)
        members.require_lower_role(conn, org_id, player_id, "owner")
        invitations.revoke_for_player(conn, org_id, player_id)
        expires_at = datetime.now(UTC) + INVITATION_LIFETIME
        offer = invitations.add(conn, org_id, "owner", player_id=player_id, expires_at=expires_at, created_by=None)
        new = {"role": offer.role, "player_id": offer.player_id, "uses": offer.uses}
        audit.record(conn, OPERATOR, "invitation.created", org_id=org_id, object_id=offer.id, new=new)
    report(
        f"Invited {username} to own {slug}, until {as_text(offer.expires_at)}. It is in their account",
        id=offer.id,
        org_id=org_id,
        player_id=player_id,
        expires_at=offer.expires_at,
    )
