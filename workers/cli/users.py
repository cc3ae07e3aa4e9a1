"""`waymark users`: accounts of players. Each change is recorded in the audit log."""

import sys
from contextlib import nullcontext
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click

from shared.accounts import erasure, leaving, sessions, store
from shared.accounts import passwords as password_hashes
from shared.accounts.export import document
from shared.accounts.rules import is_username
from shared.audit import store as audit
from shared.audit.store import OPERATOR
from shared.infra import db
from shared.infra.ids import uuid7
from shared.infra.message_sender import background_sender
from shared.infra.pubsub_messages import publish_access_change
from shared.messages import ErasuresPending
from shared.organizations import store as organizations
from workers.cli.commands import CommandError, Group, confirm, yes_option
from workers.cli.completions import complete_username
from workers.cli.lookups import find_player
from workers.cli.organizations import ORGANIZATION_NAME, add_organization
from workers.cli.output import open_private, report, show_rows
from workers.cli.passwords import password_option, read_password
from workers.cli.sessions import count_sessions


class UsernameType(click.ParamType[str]):
    """A username that an account may have."""

    name = "username"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not is_username(value):
            self.fail("Use 3 to 32 letters, digits, _, . or -.", param, ctx)
        return value


@click.group(cls=Group)
def users() -> None:
    """List, create, export and erase accounts, and reset passwords."""


@users.command("list")
@click.option("--search", default="", metavar="TEXT", help="Only usernames that begin with this text.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, help="At most this many accounts.")
def list_users(search: str, limit: int) -> None:
    """List accounts and guests, newest first."""
    with db.connection() as conn:
        profiles = store.list_players(conn, search, limit=limit)
    show_rows(map(asdict, profiles), empty="No accounts", limit=limit)


@users.command()
@click.argument("username", type=UsernameType())
@click.option("--organization", type=ORGANIZATION_NAME, metavar="NAME", help="Also create this organization.")
@password_option
def create(username: str, organization: str | None, password_stdin: bool) -> None:
    """Create an account, and with --organization an organization that it owns."""
    password_hash = password_hashes.hash_password(read_password(username, from_stdin=password_stdin))
    with db.transaction() as conn:
        player_id = uuid7()
        store.add_player(conn, player_id, username, password_hash, None)
        audit.record(conn, OPERATOR, "account.created", org_id=None, object_id=player_id)
        if organization is None:
            org_id = slug = None
        else:
            org_id = add_organization(conn, player_id, organization)
            slug = organizations.get_slug(conn, org_id)
    sentence = f"Created {username} ({player_id})"
    if organization is not None:
        sentence += f", owner of {organization}: {slug} ({org_id})"
    report(sentence, player_id=player_id, username=username, org_id=org_id, slug=slug)


@users.command("reset-password")
@click.argument("username", shell_complete=complete_username)
@password_option
def reset_password(username: str, password_stdin: bool) -> None:
    """Set a new password, and revoke all sessions of the account."""
    with db.connection() as conn:
        find_player(conn, username)
    password_hash = password_hashes.hash_password(read_password(username, from_stdin=password_stdin))
    with db.transaction() as conn:
        player_id = find_player(conn, username)
        if not store.set_password_hash(conn, player_id, password_hash):
            raise CommandError(f"{username} is a guest and has no password")
        revoked = sessions.revoke_sessions(conn, player_id, "operator")
        audit.record(conn, OPERATOR, "password.reset", org_id=None, object_id=player_id)
    publish_access_change(player_id)
    report(
        f"Reset the password of {username} and revoked {count_sessions(revoked)}", player_id=player_id, sessions=revoked
    )


@users.command()
@click.argument("username", shell_complete=complete_username)
@click.option(
    "--delete-organizations", is_flag=True, help="Delete organizations of which the player is the last owner."
)
@yes_option
def erase(username: str, delete_organizations: bool, yes: bool) -> None:
    """Erase an account: its username, email address, locations, generated codes and sessions.

    USERNAME can also be the player's id, as in the log of erasures. Counts and ledgers remain under a generated name.
    It cannot be undone.
    """
    with db.connection() as conn:
        find_player(conn, username)
    confirm(f"Erase the account of {username}? This cannot be undone.", yes=yes)
    with db.transaction() as conn:
        player_id = find_player(conn, username)
        if store.lock_account(conn, player_id) is None:
            raise CommandError(f"No player {username}")
        _, owned_alone = leaving.lock_organizations(conn, player_id)
        if owned_alone and not delete_organizations:
            slugs = ", ".join(organizations.get_slug(conn, org_id) for org_id in sorted(owned_alone))
            raise CommandError(
                f"{username} is the last owner of {slugs}. Transfer them first, or add --delete-organizations."
            )
        erasure.erase(conn, player_id, dict.fromkeys(owned_alone, "delete"), actor=OPERATOR)
    background_sender.submit(ErasuresPending())
    background_sender.flush()
    publish_access_change(player_id, *owned_alone)
    report(
        f"Erased {username} ({player_id}). Workers erase what is left within minutes",
        player_id=player_id,
        deleted_organizations=sorted(owned_alone),
    )


@users.command()
@click.argument("username", shell_complete=complete_username)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write a file instead of stdout.")
def export(username: str, output: Path | None) -> None:
    """Export everything that Waymark stores about a player, as one JSON document.

    Only the user who runs the command can read the file.
    """
    with db.transaction() as conn:
        player_id = find_player(conn, username)
        audit.record(conn, OPERATOR, "account.exported", org_id=None, object_id=player_id)
    with nullcontext(sys.stdout) if output is None else open_private(output) as file:
        file.writelines(document(player_id, datetime.now(UTC)))
    if output is not None:
        report(f"Wrote {output}", player_id=player_id, file=output)
