"""Sessions in PostgreSQL: each refresh token is used once, revocation is immediate, expired sessions are purged."""

from datetime import timedelta
from uuid import UUID

from shared.accounts import sessions
from shared.accounts.sessions import RotatedSession
from shared.infra import db
from shared.infra.db import Conn
from shared.infra.ids import uuid7
from tests.support.concurrency import Rendezvous, run_concurrently
from tests.support.factories import make_player

DAY = timedelta(days=1)


def make_session(conn: Conn, ttl: timedelta = DAY) -> tuple[UUID, UUID]:
    """Return the ids of a new session and of its player."""
    session_id, player_id = uuid7(), make_player(conn)
    sessions.create_session(conn, session_id, player_id, ttl=ttl)
    return session_id, player_id


def test_a_session_is_active_for_its_player_until_it_ends(conn: Conn) -> None:
    session_id, player_id = make_session(conn)
    assert sessions.is_session_active(conn, session_id, player_id)
    assert not sessions.is_session_active(conn, session_id, make_player(conn))
    assert not sessions.is_session_active(conn, *make_session(conn, -DAY))

    assert sessions.revoke_session(conn, session_id, "logout")

    assert not sessions.is_session_active(conn, session_id, player_id)


def test_the_first_revocation_reason_remains(conn: Conn) -> None:
    session_id, _player_id = make_session(conn)

    assert sessions.revoke_session(conn, session_id, "logout")
    assert not sessions.revoke_session(conn, session_id, "reuse")

    reason = conn.execute("SELECT revoked_reason FROM sessions WHERE id = %s", (session_id,)).fetchone()
    assert reason == ("logout",)


def test_each_generation_is_used_once(conn: Conn) -> None:
    session_id, player_id = make_session(conn)

    first = sessions.rotate_refresh_token(conn, session_id, player_id, 0, ttl=DAY)
    assert first is not None
    assert first.generation == 1
    assert sessions.rotate_refresh_token(conn, session_id, player_id, 0, ttl=DAY) is None
    second = sessions.rotate_refresh_token(conn, session_id, player_id, 1, ttl=DAY)
    assert second is not None
    assert second.generation == 2


def test_tokens_issued_before_a_restore_are_accepted_once(conn: Conn) -> None:
    """The restored row has an earlier generation. A token that is copied before the restore still ends the session."""
    session_id, player_id = make_session(conn)

    rotated = sessions.rotate_refresh_token(conn, session_id, player_id, 4, ttl=DAY)

    assert rotated is not None
    assert rotated.generation == 5
    assert sessions.rotate_refresh_token(conn, session_id, player_id, 4, ttl=DAY) is None


def test_expired_revoked_and_foreign_sessions_are_not_rotated(conn: Conn) -> None:
    expired, player_of_expired = make_session(conn, -DAY)
    revoked, player_of_revoked = make_session(conn)
    active, _player_id = make_session(conn)
    sessions.revoke_session(conn, revoked, "logout")

    assert sessions.rotate_refresh_token(conn, expired, player_of_expired, 0, ttl=DAY) is None
    assert sessions.rotate_refresh_token(conn, revoked, player_of_revoked, 0, ttl=DAY) is None
    assert sessions.rotate_refresh_token(conn, active, make_player(conn), 0, ttl=DAY) is None


def test_one_of_concurrent_rotations_of_a_token_wins(conn: Conn) -> None:
    session_id, player_id = make_session(conn)

    def rotate() -> RotatedSession | None:
        with db.connection() as own:
            return sessions.rotate_refresh_token(own, session_id, player_id, 0, ttl=DAY)

    assert sum(rotated is not None for rotated in run_concurrently([rotate] * 8)) == 1


def test_negative_control_without_the_condition_both_rotations_win(conn: Conn) -> None:
    """The race above is real: a rotation that reads first and writes later lets two requests through."""
    session_id, _player_id = make_session(conn)
    both_have_read = Rendezvous()

    def read_then_write() -> bool:
        with db.connection() as own:
            row = own.execute("SELECT generation FROM sessions WHERE id = %s", (session_id,)).fetchone()
            both_have_read.wait()
            own.execute("UPDATE sessions SET generation = generation + 1 WHERE id = %s", (session_id,))
            return row == (0,)

    assert run_concurrently([read_then_write] * 2) == [True, True]


def test_purge_deletes_expired_sessions_only(conn: Conn) -> None:
    """A revoked session remains until it expires, because its tokens must find the row."""
    active, _player_id = make_session(conn)
    revoked, _player_id = make_session(conn)
    sessions.revoke_session(conn, revoked, "logout")
    for _ in range(3):
        make_session(conn, -DAY)

    assert sessions.purge_sessions(conn, limit=2) == 2
    assert sessions.purge_sessions(conn, limit=2) == 1
    assert {row[0] for row in conn.execute("SELECT id FROM sessions")} == {active, revoked}
