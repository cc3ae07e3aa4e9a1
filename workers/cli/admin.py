"""What operators do to people's accounts from the command line; each is a line of the audit trail.

    python -m workers.cli.admin create-owner USERNAME --organization NAME
    python -m workers.cli.admin reset-password USERNAME
    python -m workers.cli.admin sessions USERNAME
    python -m workers.cli.admin revoke-sessions USERNAME
    python -m workers.cli.admin revoke-session ID
    python -m workers.cli.admin keys ORGANIZATION_SLUG
    python -m workers.cli.admin revoke-key ID

Passwords are asked for, or read from standard input with --password-stdin; never given as an argument, which everybody
on the machine could read.
"""

import argparse
import getpass
import sys
from collections.abc import Iterable
from uuid import UUID

from shared.accounts import passwords, store
from shared.accounts.rules import PASSWORD_CHARACTERS, is_username
from shared.audit import store as audit
from shared.audit.store import OPERATOR
from shared.errors import DomainError
from shared.infra import db
from shared.infra.db import Conn
from shared.infra.ids import uuid7
from shared.infra.logging import configure
from shared.infra.pubsub_messages import publish_access_change
from shared.infra.timestamps import format_rfc3339
from shared.organizations import api_keys
from shared.organizations import store as organizations


class CommandError(SystemExit):
    """Why nothing was done; the process ends with status 1."""


def create_owner(username: str, organization: str, password: str) -> str:
    """An account, and the organization that it owns."""
    password_hash = passwords.hash_password(password)
    with db.transaction() as conn:
        player_id = uuid7()
        store.add_player(conn, player_id, username, password_hash, None)
        audit.record(conn, OPERATOR, "account.created", org_id=None, object_id=player_id)
        org_id = organizations.add(conn, player_id, organization, None, None)
        audit.record(
            conn, OPERATOR, "organization.created", org_id=org_id, object_id=org_id, new={"name": organization}
        )
        slug = organizations.get_slug(conn, org_id)
    return f"{username} ({player_id}) owns {organization}: {slug} ({org_id})"


def reset_password(username: str, password: str) -> str:
    """Another password for an account, whose logins all end."""
    password_hash = passwords.hash_password(password)
    with db.transaction() as conn:
        player_id = _player(conn, username)
        if not store.set_password_hash(conn, player_id, password_hash):
            raise CommandError(f"{username} is a guest, and has no password")
        ended = store.revoke_sessions(conn, player_id, "operator")
        audit.record(conn, OPERATOR, "password.reset", org_id=None, object_id=player_id)
    publish_access_change(player_id)
    return f"{username} has another password; {_logins(ended)} ended"


def sessions(username: str) -> str:
    """The logins of a player that stand, oldest first."""
    with db.connection() as conn:
        found = store.list_sessions(conn, _player(conn, username))
    return _table(
        (str(each.id), f"since {format_rfc3339(each.created_at)}", f"until {format_rfc3339(each.expires_at)}")
        for each in found
    )


def revoke_sessions(username: str) -> str:
    """End every login of a player."""
    with db.transaction() as conn:
        player_id = _player(conn, username)
        ended = store.revoke_sessions(conn, player_id, "operator")
        audit.record(conn, OPERATOR, "session.revoked", org_id=None, object_id=player_id, new={"logins": ended})
    publish_access_change(player_id)
    return f"{_logins(ended)} of {username} ended"


def revoke_session(family_id: UUID) -> str:
    """End one login."""
    with db.transaction() as conn:
        player_id = store.session_owner(conn, family_id)
        if player_id is None or not store.revoke_session(conn, family_id, "operator"):
            raise CommandError(f"No login {family_id} stands")
        audit.record(conn, OPERATOR, "session.revoked", org_id=None, object_id=family_id)
    publish_access_change(player_id)
    return f"Login {family_id} ended"


def list_keys(slug: str) -> str:
    """An organization's API keys, newest first: how each begins, and what it may."""
    with db.connection() as conn:
        org_id = organizations.id_of(conn, slug)
        if org_id is None:
            raise CommandError(f"There is no organization {slug}")
        found = api_keys.list_for_organization(conn, org_id, limit=10_000)
    return _table(
        (
            str(each.id),
            each.prefix,
            each.name,
            ",".join(each.scopes),
            f"expires {format_rfc3339(each.expires_at)}" if each.expires_at else "never expires",
            f"used {format_rfc3339(each.last_used_at)}" if each.last_used_at else "never used",
        )
        for each in found
    )


def revoke_key(key_id: UUID) -> str:
    """End an API key."""
    with db.transaction() as conn:
        org_id = api_keys.find_organization_id(conn, key_id)
        revoked = org_id and api_keys.revoke(conn, org_id, key_id)
        if not revoked:
            raise CommandError(f"No key {key_id} stands")
        told = {"name": revoked.name, "prefix": revoked.prefix, "scopes": revoked.scopes}
        audit.record(conn, OPERATOR, "key.revoked", org_id=org_id, object_id=key_id, old=told)
    publish_access_change(key_id)
    return f"Key {revoked.prefix} ({revoked.name}) is not good any more"


def _player(conn: Conn, username: str) -> UUID:
    found = store.id_of(conn, username)
    if found is None:
        raise CommandError(f"Nobody is called {username}")
    return found


def _logins(n: int) -> str:
    return "1 login" if n == 1 else f"{n:,} logins"


def _table(rows: Iterable[tuple[str, ...]]) -> str:
    return "\n".join("  ".join(row) for row in rows) or "None"


def _password(*, from_stdin: bool) -> str:
    if from_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        try:
            password, again = getpass.getpass("Password: "), getpass.getpass("Once more: ")
        except EOFError:
            raise CommandError("There is no terminal to ask at: use --password-stdin") from None
        if password != again:
            raise CommandError("These are two different passwords")
    least, most = PASSWORD_CHARACTERS
    if not least <= len(password) <= most:
        raise CommandError(f"A password has {least} to {most} characters")
    return password


def _username(text: str) -> str:
    if not is_username(text):
        raise argparse.ArgumentTypeError("3-32 of letters, digits, _ . -")
    return text


def _name(text: str) -> str:
    if not (1 <= len(text) <= 200 and text.isprintable() and text.strip()):
        raise argparse.ArgumentTypeError("1-200 characters, on one line")
    return text


def read(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m workers.cli.admin", description="People's accounts, for operators")
    commands = parser.add_subparsers(dest="command", required=True)
    secret = argparse.ArgumentParser(add_help=False)
    secret.add_argument("--password-stdin", action="store_true", help="read it from standard input, and do not ask")
    owner = commands.add_parser("create-owner", parents=[secret], help="make an account and its organization")
    owner.add_argument("username", type=_username)
    owner.add_argument("--organization", type=_name, required=True, metavar="NAME")
    reset = commands.add_parser("reset-password", parents=[secret], help="and end every login")
    reset.add_argument("username")
    for name, does in (("sessions", "list logins"), ("revoke-sessions", "end every login of a player")):
        commands.add_parser(name, help=does).add_argument("username")
    commands.add_parser("revoke-session", help="end one login").add_argument("id", type=UUID)
    commands.add_parser("keys", help="list an organization's API keys").add_argument("organization", metavar="SLUG")
    commands.add_parser("revoke-key", help="end an API key").add_argument("id", type=UUID)
    return parser.parse_args(arguments)


def run(given: argparse.Namespace) -> str:
    """Do what was asked; what to print of it."""
    match given.command:
        case "create-owner":
            return create_owner(given.username, given.organization, _password(from_stdin=given.password_stdin))
        case "reset-password":
            return reset_password(given.username, _password(from_stdin=given.password_stdin))
        case "sessions":
            return sessions(given.username)
        case "revoke-sessions":
            return revoke_sessions(given.username)
        case "revoke-session":
            return revoke_session(given.id)
        case "keys":
            return list_keys(given.organization)
        case _:
            return revoke_key(given.id)


def main(arguments: list[str]) -> None:
    given = read(arguments)
    configure("operators")
    try:
        print(run(given))
    except DomainError as error:
        raise CommandError(str(error)) from error
    finally:
        db.close_pool()


if __name__ == "__main__":
    main(sys.argv[1:])
