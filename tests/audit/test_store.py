"""The audit log in PostgreSQL: append-only."""

from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import Rollback

from shared.audit import store
from shared.audit.store import OPERATOR, Actor
from shared.infra import db
from shared.infra.db import Conn
from shared.infra.ids import HIGHEST
from tests.support.callers import make_key
from tests.support.factories import make_org, make_player


@pytest.fixture
def org_id(conn: Conn) -> UUID:
    return make_org(conn)


def list_actions(conn: Conn, org_id: UUID, **filters: Any) -> list[str]:
    return [entry.action for entry in store.list_for_organization(conn, org_id, limit=50, **filters)]


def test_an_entry_has_actor_action_address_and_values(conn: Conn, org_id: UUID) -> None:
    ada, key = make_player(conn, "ada"), make_key(conn, org_id)
    store.record(
        conn, Actor("player", ada, "192.0.2.1", "r1"), "code.created", org_id=org_id, object_id="c1", new={"a": 1}
    )
    store.record(conn, Actor("key", key.id), "code.changed", org_id=org_id, object_id="c1", old={"a": 1}, new={"a": 2})
    store.record(conn, OPERATOR, "key.revoked", org_id=org_id, object_id=key.id)
    conn.execute("UPDATE players SET username = 'lovelace' WHERE id = %s", (ada,))

    by_operator, by_key, by_player = store.list_for_organization(conn, org_id, limit=50)

    assert (by_player.actor_kind, by_player.actor_id, by_player.actor_name) == ("player", ada, "lovelace")
    assert (by_player.address, by_player.request_id) == ("192.0.2.1", "r1")
    assert (by_player.old, by_player.new) == (None, {"a": 1})
    assert (by_key.actor_kind, by_key.actor_id, by_key.actor_name) == ("key", key.id, "Kiosk")
    assert (by_key.old, by_key.new) == ({"a": 1}, {"a": 2})
    assert (by_operator.actor_kind, by_operator.actor_id, by_operator.actor_name) == ("operator", None, None)
    assert by_operator.object_id == str(key.id)


def test_filters_by_action_actor_and_object_combine(conn: Conn, org_id: UUID) -> None:
    ada, bob = Actor("player", make_player(conn)), Actor("player", make_player(conn))
    store.record(conn, ada, "code.created", org_id=org_id, object_id="c1")
    store.record(conn, bob, "code.deleted", org_id=org_id, object_id="c1")
    store.record(conn, ada, "render.started", org_id=org_id, object_id="r1")
    store.record(conn, ada, "code.created", org_id=make_org(conn), object_id="c1")
    store.record(conn, ada, "password.changed", org_id=None)

    assert list_actions(conn, org_id) == ["render.started", "code.deleted", "code.created"]
    assert list_actions(conn, org_id, action="code.deleted") == ["code.deleted"]
    assert list_actions(conn, org_id, actor=ada.id) == ["render.started", "code.created"]
    assert list_actions(conn, org_id, object_id="c1") == ["code.deleted", "code.created"]
    assert list_actions(conn, org_id, object_id="c1", actor=ada.id) == ["code.created"]


def test_an_entry_is_rolled_back_with_its_change(conn: Conn, org_id: UUID) -> None:
    with db.transaction() as own:
        store.record(own, OPERATOR, "key.revoked", org_id=org_id)
        raise Rollback

    assert list_actions(conn, org_id) == []


def test_an_outcome_has_the_actor_of_its_start(conn: Conn, org_id: UUID) -> None:
    ada = make_player(conn, "ada")
    store.record(conn, Actor("player", ada, "192.0.2.1", "r1"), "import.started", org_id=org_id, object_id="i1")

    store.record_outcome(conn, "codes.imported", of="import.started", org_id=org_id, object_id="i1", new={"codes": 3})
    store.record_outcome(conn, "codes.imported", of="import.started", org_id=org_id, object_id="i2")

    outcome, _ = store.list_for_organization(conn, org_id, limit=50)
    assert (outcome.action, outcome.actor_name, outcome.address) == ("codes.imported", "ada", "192.0.2.1")
    assert (outcome.object_id, outcome.new) == ("i1", {"codes": 3})


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM audit_log",
        "UPDATE audit_log SET action = 'nothing.done'",
        "UPDATE audit_log SET new = '{}'",
        "UPDATE audit_log SET address = '192.0.2.2'",
        "UPDATE audit_log SET player_id = gen_random_uuid()",
        "UPDATE audit_log SET at = now()",
    ],
)
def test_entries_cannot_be_changed_or_deleted(conn: Conn, org_id: UUID, change: str) -> None:
    store.record(conn, Actor("player", make_player(conn), "192.0.2.1"), "code.created", org_id=org_id, new={"a": 1})

    with pytest.raises(psycopg.errors.CheckViolation) as error:
        conn.execute(change)
    assert error.value.diag.constraint_name == "audit_log_append_only"


def test_personal_data_can_be_set_to_null(conn: Conn, org_id: UUID) -> None:
    store.record(
        conn, Actor("player", make_player(conn), "192.0.2.1", "r1"), "code.created", org_id=org_id, new={"a": 1}
    )

    conn.execute("UPDATE audit_log SET address = NULL, request_id = NULL, old = NULL, new = NULL")

    (entry,) = store.list_for_organization(conn, org_id, limit=50)
    assert (entry.action, entry.address, entry.request_id, entry.new) == ("code.created", None, None, None)


FILTERS: tuple[dict[str, Any], ...] = (
    {},
    {"action": "code.deleted"},
    {"actor": UUID(int=1)},
    {"actor": UUID(int=2)},
    {"object_id": "c1"},
    {"action": "code.deleted", "object_id": "c1"},
)


def test_a_page_reads_matching_entries_only(conn: Conn, org_id: UUID) -> None:
    """Of 50,000 entries the 50 oldest match. The statement is the store's."""
    conn.execute(
        """
        INSERT INTO audit_log (org_id, actor_kind, player_id, api_key_id, action, object_id)
        SELECT %(org)s, CASE WHEN n %% 2 = 0 THEN 'player' ELSE 'key' END,
               CASE WHEN n %% 2 = 0 THEN CASE WHEN n <= 50 THEN %(one)s ELSE gen_random_uuid() END END::uuid,
               CASE WHEN n %% 2 = 1 THEN CASE WHEN n <= 50 THEN %(two)s ELSE gen_random_uuid() END END::uuid,
               CASE WHEN n <= 50 THEN 'code.deleted' ELSE 'code.changed' END,
               CASE WHEN n <= 50 THEN 'c1' ELSE n::text END
        FROM generate_series(1, 50000) n
        """,
        {"org": org_id, "one": UUID(int=1), "two": UUID(int=2)},
    )
    conn.execute("ANALYZE audit_log")
    no_filters = {"action": None, "actor": None, "object_id": None}

    for filters in FILTERS:
        params = {"org_id": org_id, "before": HIGHEST, "limit": 20} | no_filters | filters
        rows = conn.execute("EXPLAIN (ANALYZE, TIMING OFF) " + store.SELECT_ENTRIES, params, prepare=False).fetchall()
        plan = "\n".join(row[0] for row in rows)
        assert "on audit_log" in plan, filters
        assert "Seq Scan on audit_log" not in plan, filters
        assert "Sort" not in plan, filters
        assert "Rows Removed" not in plan, filters
