"""Players of an external issuer, during an erasure and after it: an old token never brings a player back."""

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

FAR_FUTURE = 4_000_000_000
MONTH = timedelta(days=30)


def new_token(subject: str) -> ExternalIdentity:
    """Return a token of the subject, with a session of its own."""
    return ExternalIdentity("https://login.example", subject, FAR_FUTURE, uuid4())


def use(token: ExternalIdentity, *, link_existing: bool = False) -> UUID:
    with db.transaction() as conn:
        return get_or_create_player(conn, token, link_existing=link_existing)


def erase(conn: Conn, player_id: UUID) -> None:
    store.lock_account(conn, player_id)
    erasure.erase(conn, player_id, {})


def is_erased(conn: Conn, player_id: UUID) -> bool:
    return conn.execute("SELECT FROM players WHERE id = %s AND erased_at IS NOT NULL", (player_id,)).rowcount == 1


def external_player(_conn: Conn) -> tuple[str, UUID]:
    return "user-1", use(new_token("user-1"))


def local_player(conn: Conn) -> tuple[str, UUID]:
    player_id = make_player(conn)
    return str(player_id), player_id


@pytest.mark.parametrize("make", [external_player, local_player])
def test_a_token_used_during_an_erasure_creates_another_player(
    conn: Conn, make: Callable[[Conn], tuple[str, UUID]]
) -> None:
    subject, player_id = make(conn)

    with ThreadPoolExecutor(1) as threads:
        with db.transaction() as own:
            erase(own, player_id)
            request = threads.submit(use, new_token(subject), link_existing=True)
            wait_until_blocked(conn)
        new_player_id = request.result()

    assert new_player_id != player_id
    assert is_erased(conn, player_id)
    assert not is_erased(conn, new_player_id)
    assert sessions.list_sessions(conn, player_id) == []


def test_an_erasure_revokes_a_session_that_is_being_created(conn: Conn) -> None:
    player_id = use(new_token("user-1"))

    def erase_in_transaction() -> None:
        with db.transaction() as another:
            erase(another, player_id)

    with ThreadPoolExecutor(1) as threads:
        with db.transaction() as own:
            get_or_create_player(own, new_token("user-1"), link_existing=False)
            request = threads.submit(erase_in_transaction)
            wait_until_blocked(conn)
        request.result()

    assert is_erased(conn, player_id)
    assert sessions.list_sessions(conn, player_id) == []


def test_an_old_token_of_an_erased_player_creates_no_player(conn: Conn) -> None:
    old_token = new_token("ada@example.org")
    player_id = use(old_token)
    with db.transaction() as own:
        erase(own, player_id)

    assert use(old_token) == player_id
    assert not sessions.is_session_active(conn, old_token.session_id, player_id)
    assert conn.execute("SELECT count(*) FROM external_identities").fetchone() == (0,)
    assert conn.execute("SELECT count(*) FROM players").fetchone() == (1,)


def test_a_new_token_of_an_erased_player_creates_another_player(conn: Conn) -> None:
    player_id = use(new_token("ada@example.org"))
    with db.transaction() as own:
        erase(own, player_id)

    assert use(new_token("ada@example.org")) != player_id


@pytest.mark.parametrize("refreshed", [False, True])
def test_a_session_lasts_as_long_as_its_external_token(conn: Conn, refreshed: bool) -> None:
    """Otherwise the session would be purged once its refresh token expires, and the token would create another."""
    token = new_token("user-1")
    player_id = use(token)
    assert sessions.rotate_for_upgrade(conn, token.session_id, ttl=MONTH) == 1
    if refreshed:
        assert sessions.rotate_refresh_token(conn, token.session_id, player_id, 1, ttl=MONTH)

    row = conn.execute("SELECT extract(epoch FROM expires_at)::bigint FROM sessions").fetchone()
    assert row == (FAR_FUTURE,)
