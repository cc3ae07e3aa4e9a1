"""Fixtures for tests of the command line."""

from typing import Any

from shared.infra.db import Conn


def operator_entries(conn: Conn) -> list[Any]:
    """Return action and object of each change by an operator."""
    return conn.execute("SELECT action, object_id FROM audit_log WHERE actor_kind = 'operator' ORDER BY id").fetchall()
