"""Refresh families: used once per generation, revoked at once, forgotten when they end."""

from datetime import timedelta
from uuid import UUID

import pytest

from shared.accounts import store
from shared.errors import UsernameTaken
from shared.infra import db
from shared.infra.db import Conn
from shared.infra.ids import uuid7
from tests.support.concurrency import Rendezvous, run_concurrently
from tests.support.factories import make_player

DAY = timedelta(days=1)


def family(conn: Conn, lasts: timedelta = DAY) -> tuple[UUID, UUID]:
    family_id, player_id = uuid7(), make_player(conn)
    store.create_session(conn, family_id, player_id, lasts=lasts)
    return family_id, player_id


def test_a_username_is_taken_in_any_case_of_letters(conn: Conn) -> None:
    store.add_player(conn, uuid7(), "Ada", "hash", None)

    with pytest.raises(UsernameTaken):
        store.add_player(conn, uuid7(), "aDA", "hash", None)

    found = store.find_credentials(conn, "ADA")
    assert found is not None
    assert found.username == "Ada"


def test_a_hash_is_renewed_unless_the_password_changed_meanwhile(conn: Conn) -> None:
    player_id = uuid7()
    store.add_player(conn, player_id, "ada", "old", None)

    store.replace_password_hash(conn, player_id, old="old", new="new")
    store.replace_password_hash(conn, player_id, old="old", new="late")

    found = store.find_credentials(conn, "ada")
    assert found is not None
    assert found.password_hash == "new"


def test_a_family_belongs_to_its_player_until_it_ends(conn: Conn) -> None:
    family_id, player_id = family(conn)
    assert store.is_session_active(conn, family_id, player_id)
    assert not store.is_session_active(conn, family_id, make_player(conn))
    assert not store.is_session_active(conn, *family(conn, lasts=-DAY))

    store.revoke_session(conn, family_id, "logout")
    store.revoke_session(conn, family_id, "reuse")

    assert not store.is_session_active(conn, family_id, player_id)
    reason = conn.execute("SELECT revoked_reason FROM sessions WHERE id = %s", (family_id,)).fetchone()
    assert reason == ("logout",)


def test_each_generation_is_used_once(conn: Conn) -> None:
    family_id, player_id = family(conn)

    first = store.rotate_refresh_token(conn, family_id, player_id, 0, lasts=DAY)
    assert first is not None
    assert first.generation == 1
    assert store.rotate_refresh_token(conn, family_id, player_id, 0, lasts=DAY) is None
    second = store.rotate_refresh_token(conn, family_id, player_id, 1, lasts=DAY)
    assert second is not None
    assert second.generation == 2


def test_an_ended_family_is_not_rotated(conn: Conn) -> None:
    expired, of_expired = family(conn, lasts=-DAY)
    revoked, of_revoked = family(conn)
    store.revoke_session(conn, revoked, "logout")

    assert store.rotate_refresh_token(conn, expired, of_expired, 0, lasts=DAY) is None
    assert store.rotate_refresh_token(conn, revoked, of_revoked, 0, lasts=DAY) is None
    assert store.rotate_refresh_token(conn, family(conn)[0], make_player(conn), 0, lasts=DAY) is None


def test_of_requests_racing_with_one_token_one_wins(conn: Conn) -> None:
    family_id, player_id = family(conn)

    def use() -> store.RotatedSession | None:
        with db.connection() as own:
            return store.rotate_refresh_token(own, family_id, player_id, 0, lasts=DAY)

    assert sum(won is not None for won in run_concurrently([use] * 8)) == 1


def test_negative_control_without_the_condition_both_win(conn: Conn) -> None:
    """The race above is a real one: a rotation that looks first and writes afterwards lets two through."""
    family_id, _player = family(conn)
    meeting = Rendezvous()

    def look_then_write() -> bool:
        with db.connection() as own:
            row = own.execute("SELECT generation FROM sessions WHERE id = %s", (family_id,)).fetchone()
            meeting.wait()
            own.execute("UPDATE sessions SET generation = generation + 1 WHERE id = %s", (family_id,))
            return row == (0,)

    assert run_concurrently([look_then_write] * 2) == [True, True]


def test_only_ended_families_are_forgotten(conn: Conn) -> None:
    alive, _player = family(conn)
    revoked, _player = family(conn)
    store.revoke_session(conn, revoked, "logout")  # until it expires, a token of it must find the row
    for _ in range(3):
        family(conn, lasts=-DAY)

    assert store.purge_sessions(conn, limit=2) == 2
    assert store.purge_sessions(conn, limit=2) == 1
    assert {row[0] for row in conn.execute("SELECT id FROM sessions")} == {alive, revoked}
