"""Administer accounts, sessions and API keys from the command line. Each change is recorded in the audit log.

    python -m workers.cli.admin create-owner USERNAME --organization NAME
    python -m workers.cli.admin reset-password USERNAME
    python -m workers.cli.admin sessions USERNAME
    python -m workers.cli.admin revoke-sessions USERNAME
    python -m workers.cli.admin revoke-session ID
    python -m workers.cli.admin keys ORGANIZATION_SLUG
    python -m workers.cli.admin revoke-key ID

Passwords are read from the terminal, or from standard input with --password-stdin. They are never arguments, because
every user of the machine can read the arguments of a process.
"""

import argparse
import getpass
import sys
from collections.abc import Iterable
from uuid import UUID

from shared.accounts import passwords, store
from shared.accounts import sessions as session_store
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

MAX_KEYS_LISTED = 10_000


class CommandError(SystemExit):
    """The command changed nothing. The process prints the message and ends with status 1."""


def create_owner(username: str, organization: str, password: str) -> str:
    """Create an account, and an organization that it owns."""
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
    return f"Created {username} ({player_id}), owner of {organization}: {slug} ({org_id})"


def reset_password(username: str, password: str) -> str:
    """Set a new password, and revoke all sessions of the account."""
    password_hash = passwords.hash_password(password)
    with db.transaction() as conn:
        player_id = _find_player(conn, username)
        if not store.set_password_hash(conn, player_id, password_hash):
            raise CommandError(f"{username} is a guest and has no password")
        revoked = session_store.revoke_sessions(conn, player_id, "operator")
        audit.record(conn, OPERATOR, "password.reset", org_id=None, object_id=player_id)
    publish_access_change(player_id)
    return f"Reset the password of {username} and revoked {_count_sessions(revoked)}"


def sessions(username: str) -> str:
    """List the active sessions of a player, oldest first."""
    with db.connection() as conn:
        active = session_store.list_sessions(conn, _find_player(conn, username))
    return _table(
        (
            (
                str(session.id),
                session.device or "unknown device",
                f"since {format_rfc3339(session.created_at)}",
                f"used {format_rfc3339(session.last_used_at)}",
                f"until {format_rfc3339(session.expires_at)}",
            )
            for session in active
        ),
        empty=f"No active sessions of {username}",
    )


def revoke_sessions(username: str) -> str:
    """Revoke all sessions of a player."""
    with db.transaction() as conn:
        player_id = _find_player(conn, username)
        revoked = session_store.revoke_sessions(conn, player_id, "operator")
        audit.record(conn, OPERATOR, "session.revoked", org_id=None, object_id=player_id, new={"sessions": revoked})
    publish_access_change(player_id)
    return f"Revoked {_count_sessions(revoked)} of {username}"


def revoke_session(session_id: UUID) -> str:
    """Revoke one session."""
    with db.transaction() as conn:
        player_id = session_store.session_owner(conn, session_id)
        if player_id is None or not session_store.revoke_session(conn, session_id, "operator"):
            raise CommandError(f"No active session {session_id}")
        audit.record(conn, OPERATOR, "session.revoked", org_id=None, object_id=session_id)
    publish_access_change(player_id)
    return f"Revoked session {session_id}"


def list_keys(slug: str) -> str:
    """List an organization's API keys, newest first: id, prefix, name, scopes, expiry, last use."""
    with db.connection() as conn:
        org_id = organizations.find_id_by_slug(conn, slug)
        if org_id is None:
            raise CommandError(f"No organization {slug}")
        keys = api_keys.list_for_organization(conn, org_id, limit=MAX_KEYS_LISTED)
    return _table(
        (
            (
                str(key.id),
                key.prefix,
                key.name,
                ",".join(key.scopes),
                f"expires {format_rfc3339(key.expires_at)}" if key.expires_at else "never expires",
                f"used {format_rfc3339(key.last_used_at)}" if key.last_used_at else "never used",
            )
            for key in keys
        ),
        empty=f"No API keys of {slug}",
    )


def revoke_key(key_id: UUID) -> str:
    """Revoke an API key."""
    with db.transaction() as conn:
        org_id = api_keys.find_organization_id(conn, key_id)
        key = org_id and api_keys.revoke(conn, org_id, key_id)
        if not key:
            raise CommandError(f"No active API key {key_id}")
        old = {"name": key.name, "prefix": key.prefix, "scopes": key.scopes}
        audit.record(conn, OPERATOR, "key.revoked", org_id=org_id, object_id=key_id, old=old)
    publish_access_change(key_id)
    return f"Revoked API key {key.prefix} ({key.name})"


def _find_player(conn: Conn, username: str) -> UUID:
    player_id = store.find_id(conn, username)
    if player_id is None:
        raise CommandError(f"No player {username}")
    return player_id


def _count_sessions(n: int) -> str:
    return "1 session" if n == 1 else f"{n:,} sessions"


def _table(rows: Iterable[tuple[str, ...]], *, empty: str) -> str:
    return "\n".join("  ".join(row) for row in rows) or empty


def _read_password(username: str, *, from_stdin: bool) -> str:
    if from_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        try:
            password, repeated = getpass.getpass("Password: "), getpass.getpass("Repeat password: ")
        except EOFError:
            raise CommandError("No terminal to read the password from: use --password-stdin") from None
        if password != repeated:
            raise CommandError("The passwords differ")
    least, most = PASSWORD_CHARACTERS
    if not least <= len(password) <= most:
        raise CommandError(f"A password must have {least} to {most} characters")
    if passwords.is_too_common(password, username):
        raise CommandError(passwords.TOO_COMMON)
    return password


def _username(text: str) -> str:
    if not is_username(text):
        raise argparse.ArgumentTypeError("Use 3 to 32 letters, digits, _, . or -.")
    return text


def _name(text: str) -> str:
    if not (1 <= len(text) <= 200 and text.isprintable() and text.strip()):
        raise argparse.ArgumentTypeError("Use 1 to 200 characters on one line.")
    return text


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m workers.cli.admin", description="Administer accounts, sessions and API keys"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    password = argparse.ArgumentParser(add_help=False)
    password.add_argument("--password-stdin", action="store_true", help="read the password from standard input")
    owner = commands.add_parser("create-owner", parents=[password], help="create an account and its organization")
    owner.add_argument("username", type=_username)
    owner.add_argument("--organization", type=_name, required=True, metavar="NAME")
    reset = commands.add_parser(
        "reset-password", parents=[password], help="set a new password and revoke all sessions of a player"
    )
    reset.add_argument("username")
    for name, summary in (("sessions", "list active sessions"), ("revoke-sessions", "revoke all sessions of a player")):
        commands.add_parser(name, help=summary).add_argument("username")
    commands.add_parser("revoke-session", help="revoke one session").add_argument("id", type=UUID)
    keys = commands.add_parser("keys", help="list an organization's API keys")
    keys.add_argument("organization", metavar="SLUG")
    commands.add_parser("revoke-key", help="revoke an API key").add_argument("id", type=UUID)
    return parser.parse_args(arguments)


def run(arguments: argparse.Namespace) -> str:
    """Run the command, and return its output."""
    match arguments.command:
        case "create-owner":
            password = _read_password(arguments.username, from_stdin=arguments.password_stdin)
            return create_owner(arguments.username, arguments.organization, password)
        case "reset-password":
            password = _read_password(arguments.username, from_stdin=arguments.password_stdin)
            return reset_password(arguments.username, password)
        case "sessions":
            return sessions(arguments.username)
        case "revoke-sessions":
            return revoke_sessions(arguments.username)
        case "revoke-session":
            return revoke_session(arguments.id)
        case "keys":
            return list_keys(arguments.organization)
        case _:
            return revoke_key(arguments.id)


def main(arguments: list[str]) -> None:
    parsed = parse(arguments)
    configure("admin")
    db.require_database()
    try:
        print(run(parsed))
    except DomainError as error:
        raise CommandError(str(error)) from error
    finally:
        db.close_pool()


if __name__ == "__main__":
    main(sys.argv[1:])
