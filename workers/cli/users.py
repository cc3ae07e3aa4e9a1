"""`waymark users`: accounts of players. Each change is recorded in the audit log."""

import click

from shared.accounts import passwords as password_hashes
from shared.accounts import sessions, store
from shared.accounts.rules import is_username
from shared.audit import store as audit
from shared.audit.store import OPERATOR
from shared.infra import db
from shared.infra.ids import uuid7
from shared.infra.pubsub_messages import publish_access_change
from shared.organizations import store as organizations
from workers.cli.commands import CommandError, Group
from workers.cli.lookups import find_player
from workers.cli.organizations import ORGANIZATION_NAME
from workers.cli.output import report
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
    """Create accounts, and reset their passwords."""


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
            org_id = organizations.add(conn, player_id, organization, None, None)
            audit.record(
                conn, OPERATOR, "organization.created", org_id=org_id, object_id=org_id, new={"name": organization}
            )
            slug = organizations.get_slug(conn, org_id)
    sentence = f"Created {username} ({player_id})"
    if organization is not None:
        sentence += f", owner of {organization}: {slug} ({org_id})"
    report(sentence, player_id=player_id, username=username, org_id=org_id, slug=slug)


@users.command("reset-password")
@click.argument("username")
@password_option
def reset_password(username: str, password_stdin: bool) -> None:
    """Set a new password, and revoke all sessions of the account."""
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
