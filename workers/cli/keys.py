"""`waymark keys`: list and revoke API keys. Each change is recorded in the audit log."""

from uuid import UUID

import click

from shared.audit import store as audit
from shared.audit.store import OPERATOR
from shared.infra import db
from shared.infra.pubsub_messages import publish_access_change
from shared.organizations import api_keys
from workers.cli.commands import ID, CommandError, Group
from workers.cli.completions import complete_organization
from workers.cli.lookups import find_organization
from workers.cli.output import report, show_rows

MAX_KEYS_LISTED = 10_000


@click.group(cls=Group)
def keys() -> None:
    """List and revoke API keys."""


@keys.command("list")
@click.argument("slug", shell_complete=complete_organization)
def list_keys(slug: str) -> None:
    """List the API keys of an organization, newest first."""
    with db.connection() as conn:
        listed = api_keys.list_for_organization(conn, find_organization(conn, slug), limit=MAX_KEYS_LISTED)
    show_rows(
        (
            {
                "id": key.id,
                "prefix": key.prefix,
                "name": key.name,
                "scopes": key.scopes,
                "expires_at": key.expires_at,
                "last_used_at": key.last_used_at,
            }
            for key in listed
        ),
        empty=f"No API keys of {slug}",
    )


@keys.command()
@click.argument("key_id", metavar="ID", type=ID)
def revoke(key_id: UUID) -> None:
    """Revoke an API key."""
    with db.transaction() as conn:
        org_id = api_keys.find_organization_id(conn, key_id)
        key = org_id and api_keys.revoke(conn, org_id, key_id)
        if not key:
            raise CommandError(f"No active API key {key_id}")
        old = {"name": key.name, "prefix": key.prefix, "scopes": key.scopes}
        audit.record(conn, OPERATOR, "key.revoked", org_id=org_id, object_id=key_id, old=old)
    publish_access_change(key_id)
    report(f"Revoked API key {key.prefix} ({key.name})", id=key_id, prefix=key.prefix)
