"""A leased table for tests of leases and of the job loop, and a bucket."""

from collections.abc import Iterator
from uuid import UUID

import pytest

from shared.infra.db import Conn
from tests.support.buckets import bucket

__all__ = ["bucket"]


@pytest.fixture
def parcels(conn: Conn) -> Iterator[list[UUID]]:
    """Five pending parcels, in the order of their ids."""
    conn.execute(
        """
        CREATE TABLE parcels (
            id uuid PRIMARY KEY DEFAULT waymark_uuid7(), status text NOT NULL DEFAULT 'pending',
            attempts smallint NOT NULL DEFAULT 0, lease_token uuid, lease_until timestamptz, last_error text,
            storage_failures smallint NOT NULL DEFAULT 0, org_id uuid, claimed_at timestamptz
        )
        """
    )
    rows = conn.execute("INSERT INTO parcels SELECT FROM generate_series(1, 5) RETURNING id").fetchall()
    yield sorted(row[0] for row in rows)
    conn.execute("DROP TABLE parcels")
