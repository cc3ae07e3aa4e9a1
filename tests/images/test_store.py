"""Customizations in PostgreSQL."""

from uuid import UUID

import psycopg
import pytest

from shared.images import store
from shared.images.customizations import DEFAULT_CUSTOMIZATION, Customization
from shared.images.store import CodeAppearance
from shared.infra import db
from shared.infra.db import Conn
from tests.support.factories import make_code, make_org

CUSTOM = Customization("#112233", "#ffeedd", "dots", 25)
LOGO = b"\x89PNG and so on"


@pytest.fixture
def org_id(conn: Conn) -> UUID:
    return make_org(conn)


@pytest.fixture
def qr_id(conn: Conn, org_id: UUID) -> UUID:
    return make_code(conn, org_id, code="spy123")


def customize(qr_id: UUID, customization: Customization, logo: bytes | None = None) -> None:
    with db.transaction() as conn:
        store.lock_customization(conn, qr_id)
        store.save_style(conn, qr_id, customization)
        store.save_logo(conn, qr_id, logo)


def test_a_new_code_has_the_default_appearance(conn: Conn, org_id: UUID, qr_id: UUID) -> None:
    assert store.find_appearance(conn, org_id, qr_id) == CodeAppearance("spy123", DEFAULT_CUSTOMIZATION)


def test_find_appearance_returns_the_saved_customization(conn: Conn, org_id: UUID, qr_id: UUID) -> None:
    customize(qr_id, CUSTOM)
    assert store.find_appearance(conn, org_id, qr_id) == CodeAppearance("spy123", CUSTOM, is_own=True)

    customize(qr_id, CUSTOM, LOGO)
    appearance = store.find_appearance(conn, org_id, qr_id)
    assert appearance is not None
    assert appearance.customization.logo_digest == store.logo_digest(LOGO)

    store.remove_customization(conn, qr_id)
    assert store.find_appearance(conn, org_id, qr_id) == CodeAppearance("spy123", DEFAULT_CUSTOMIZATION)


def test_locking_changes_nothing(conn: Conn, qr_id: UUID) -> None:
    customize(qr_id, CUSTOM)

    with db.transaction() as own:
        assert store.lock_customization(own, qr_id) == CUSTOM


def test_a_logo_is_found_only_by_its_digest(conn: Conn, qr_id: UUID) -> None:
    customize(qr_id, CUSTOM, LOGO)

    assert store.get_logo(conn, qr_id, store.logo_digest(LOGO)) == LOGO
    assert store.get_logo(conn, qr_id, store.logo_digest(b"another")) is None


def test_foreign_and_deleted_codes_have_no_appearance(conn: Conn, org_id: UUID, qr_id: UUID) -> None:
    assert store.find_appearance(conn, make_org(conn), qr_id) is None

    conn.execute("UPDATE qr_codes SET deleted_at = now() WHERE id = %s", (qr_id,))
    assert store.find_appearance(conn, org_id, qr_id) is None


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("foreground_color = 'red;}<script>'", "qr_customizations_foreground"),
        ("background_color = '#FFF'", "qr_customizations_background"),
        ("style = 'stars'", "qr_customizations_style"),
        ("logo_size_percent = 9", "qr_customizations_logo_size"),
        ("logo_size_percent = 31", "qr_customizations_logo_size"),
        ("logo = 'x'", "qr_customizations_logo_pair"),
        ("logo_digest = repeat('a', 64)", "qr_customizations_logo_pair"),
        ("logo = repeat('x', 8388609)::bytea, logo_digest = repeat('a', 64)", "qr_customizations_logo_bounded"),
    ],
)
def test_the_table_enforces_the_rules(conn: Conn, qr_id: UUID, change: str, constraint: str) -> None:
    customize(qr_id, CUSTOM)

    with pytest.raises(psycopg.errors.CheckViolation) as rejected:
        conn.execute(f"UPDATE qr_customizations SET {change}")
    assert rejected.value.diag.constraint_name == constraint
