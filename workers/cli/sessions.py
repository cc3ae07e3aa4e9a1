"""`waymark sessions`: list and revoke sessions. Each change is recorded in the audit log."""

from uuid import UUID

import click

from shared.accounts import sessions as store
from shared.audit import store as audit
from shared.audit.store import OPERATOR
from shared.infra import db
from shared.infra.pubsub_messages import publish_access_change
from workers.cli.commands import ID, CommandError, Group
from workers.cli.completions import complete_username
from workers.cli.lookups import find_player
from workers.cli.output import report, show_rows


@click.group(cls=Group)
def sessions() -> None:
    """List and revoke sessions."""


@sessions.command("list")
@click.argument("username", shell_complete=complete_username)
def list_sessions(username: str) -> None:
    """List the active sessions of a player, oldest first."""
    with db.connection() as conn:
        active = store.list_sessions(conn, find_player(conn, username))
    show_rows(
        (
            {
                "id": session.id,
                "device": session.device,
                "created_at": session.created_at,
                "last_used_at": session.last_used_at,
                "expires_at": session.expires_at,
            }
            for session in active
        ),
        empty=f"No active sessions of {username}",
    )


@sessions.command()
@click.argument("session_id", metavar="[ID]", type=ID, required=False)
@click.option(
    "--user",
    "username",
    metavar="USERNAME",
    shell_complete=complete_username,
    help="Revoke all sessions of this player.",
)
def revoke(session_id: UUID | None, username: str | None) -> None:
    """Revoke one session, or all sessions of a player."""
    if (session_id is None) == (username is None):
        raise click.UsageError("Give an ID, or --user USERNAME.")
    if username is None:
        assert session_id is not None  # noqa: S101 - one of them is given
        _revoke_one(session_id)
    else:
        _revoke_all(username)


def _revoke_one(session_id: UUID) -> None:
    with db.transaction() as conn:
        player_id = store.session_owner(conn, session_id)
        if player_id is None or not store.revoke_session(conn, session_id, "operator"):
            raise CommandError(f"No active session {session_id}")
        audit.record(conn, OPERATOR, "session.revoked", org_id=None, object_id=session_id)
    publish_access_change(player_id)
    report(f"Revoked session {session_id}", id=session_id, sessions=1)


def _revoke_all(username: str) -> None:
    with db.transaction() as conn:
        player_id = find_player(conn, username)
        revoked = store.revoke_sessions(conn, player_id, "operator")
        audit.record(conn, OPERATOR, "session.revoked", org_id=None, object_id=player_id, new={"sessions": revoked})
    publish_access_change(player_id)
    report(f"Revoked {count_sessions(revoked)} of {username}", player_id=player_id, sessions=revoked)


def count_sessions(n: int) -> str:
    """Return a number of sessions in words: "1 session", "2 sessions"."""
    return "1 session" if n == 1 else f"{n:,} sessions"
