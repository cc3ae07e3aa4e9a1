"""Fixtures for tests of the command line."""

from typing import Any

import pytest

from shared.infra.db import Conn
from shared.organizations import store as organizations
from tests.support.callers import Staff


@pytest.fixture
def slug(conn: Conn, staff: Staff) -> str:
    """The organization of `staff`."""
    return organizations.get_slug(conn, staff.org_id)


def operator_entries(conn: Conn) -> list[Any]:
    """Return action and object of each change by an operator."""
    return conn.execute("SELECT action, object_id FROM audit_log WHERE actor_kind = 'operator' ORDER BY id").fetchall()
