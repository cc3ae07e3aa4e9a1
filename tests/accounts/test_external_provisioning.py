"""Players whom an outside service names, while they are erased and after: nobody comes back through an old token."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from shared.accounts import erasure, sessions, store
from shared.accounts.external_provisioning import get_or_create_player
from shared.accounts.external_tokens import ExternalIdentity
from shared.infra import db
from shared.infra.db import Conn
from tests.support.concurrency import wait_until_blocked
from tests.support.factories import make_player

FAR_OFF = 4_000_000_000


def theirs(subject: str) -> ExternalIdentity:
    """Another token each time."""
    return ExternalIdentity("https://login.example", subject, FAR_OFF, uuid4())


def come(told: ExternalIdentity, *, link_existing: bool = False) -> UUID:
    with db.transaction() as conn:
        return get_or_create_player(conn, told, link_existing=link_existing)


def erase(conn: Conn, player_id: UUID) -> None:
    store.lock_account(conn, player_id)
    erasure.erase(conn, player_id)


def is_erased(conn: Conn, player_id: UUID) -> bool:
    return conn.execute("SELECT FROM players WHERE id = %s AND erased_at IS NOT NULL", (player_id,)).rowcount == 1


def outside(conn: Conn) -> tuple[str, UUID]:
    return "user-1", come(theirs("user-1"))


def ours(conn: Conn) -> tuple[str, UUID]:
    player_id = make_player(conn)
    return str(player_id), player_id


@pytest.mark.parametrize("begin", [outside, ours])
def test_who_arrives_while_they_are_erased_is_somebody_new(
    conn: Conn, begin: Callable[[Conn], tuple[str, UUID]]
) -> None:
    subject, player_id = begin(conn)
    told = theirs(subject)

    with ThreadPoolExecutor(1) as threads:
        with db.transaction() as own:
            erase(own, player_id)
            arriving = threads.submit(come, told, link_existing=True)
            wait_until_blocked(conn)
        arrived = arriving.result()

    assert arrived != player_id
    assert is_erased(conn, player_id)
    assert not is_erased(conn, arrived)
    assert sessions.list_sessions(conn, player_id) == []


def test_an_erasure_that_comes_during_an_arrival_ends_its_login(conn: Conn) -> None:
    player_id = come(theirs("user-1"))

    with ThreadPoolExecutor(1) as threads:
        with db.transaction() as own:
            get_or_create_player(own, theirs("user-1"), link_existing=False)

            def end() -> None:
                with db.transaction() as another:
                    erase(another, player_id)

            erasing_them = threads.submit(end)
            wait_until_blocked(conn)
        erasing_them.result()

    assert is_erased(conn, player_id)
    assert sessions.list_sessions(conn, player_id) == []


def test_an_old_token_of_a_person_who_was_erased_makes_nobody(conn: Conn) -> None:
    told = theirs("ada@example.org")
    player_id = come(told)
    with db.transaction() as own:
        erase(own, player_id)

    assert come(told) == player_id
    assert not sessions.is_session_active(conn, told.session_id, player_id)
    assert conn.execute("SELECT count(*) FROM external_identities").fetchone() == (0,)
    assert conn.execute("SELECT count(*) FROM players").fetchone() == (1,)
    assert come(theirs("ada@example.org")) != player_id  # signed in anew, as anybody may


@pytest.mark.parametrize("refreshed", [False, True])
def test_a_login_that_goes_on_with_our_tokens_stays_ended_for_as_long_as_theirs_last(
    conn: Conn, refreshed: bool
) -> None:
    told = theirs("user-1")
    player_id = come(told)
    assert sessions.rotate_for_upgrade(conn, told.session_id, ttl=timedelta(days=30)) == 1
    if refreshed:
        assert sessions.rotate_refresh_token(conn, told.session_id, player_id, 1, ttl=timedelta(days=30))

    row = conn.execute("SELECT extract(epoch FROM expires_at)::bigint FROM sessions").fetchone()
    assert row == (FAR_OFF,)
