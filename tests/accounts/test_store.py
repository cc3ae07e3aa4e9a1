"""Players and credentials in PostgreSQL."""

import pytest

from shared.accounts import store
from shared.errors import UsernameTaken
from shared.infra.db import Conn
from shared.infra.ids import uuid7


def test_a_username_is_taken_in_any_letter_case(conn: Conn) -> None:
    store.add_player(conn, uuid7(), "Ada", "hash", None)

    with pytest.raises(UsernameTaken):
        store.add_player(conn, uuid7(), "aDA", "hash", None)

    credentials = store.find_credentials(conn, "ADA")
    assert credentials is not None
    assert credentials.username == "Ada"


def test_a_hash_is_replaced_only_if_it_is_unchanged(conn: Conn) -> None:
    player_id = uuid7()
    store.add_player(conn, player_id, "ada", "old", None)

    assert store.replace_password_hash(conn, player_id, old="old", new="new")
    assert not store.replace_password_hash(conn, player_id, old="old", new="late")

    credentials = store.find_credentials(conn, "ada")
    assert credentials is not None
    assert credentials.password_hash == "new"
