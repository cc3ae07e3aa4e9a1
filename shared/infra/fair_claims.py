"""Claims of leased rows that organizations take in turns, so that the backlog of one delays no other.

The organization with the fewest leased rows is next; among equals the one that waits longest for its turn. An
organization that comes later has neither leased rows nor a recent turn, so it gets the next free worker: a hundred
thousand rows of another organization delay its first row by one row at most.

A fair table is a leased table with the columns `org_id` and `claimed_at`. Its rows are claimed one at a time, new and
expired ones alike. It has indexes on the pending rows and on the leased rows of an organization, and on its last claim.
"""

from datetime import timedelta
from typing import LiteralString
from uuid import UUID

from shared.infra.db import Conn
from shared.infra.leases import LeasedTable, T, statement

# The recursion reads one row of each organization, not every pending row. Several organizations and rows may be next:
# while another worker claims the first, SKIP LOCKED passes to the next. A locked row is checked again, so its
# conditions are repeated.
CLAIM_NEXT: LiteralString = """
    WITH RECURSIVE found AS (
        (SELECT org_id FROM {table} WHERE {pending} ORDER BY org_id LIMIT 1)
        UNION ALL
        SELECT (SELECT t.org_id FROM {table} t WHERE {pending} AND t.org_id > found.org_id ORDER BY t.org_id LIMIT 1)
        FROM found WHERE found.org_id IS NOT NULL
    ), next_orgs AS MATERIALIZED (
        SELECT found.org_id,
               (SELECT count(*) FROM {table} t
                WHERE t.org_id = found.org_id AND t.lease_token IS NOT NULL AND t.lease_until > now()) AS leased_rows,
               (SELECT max(t.claimed_at) FROM {table} t WHERE t.org_id = found.org_id) AS last_turn
        FROM found
        WHERE EXISTS (
            SELECT FROM {table} t
            WHERE t.org_id = found.org_id AND {pending}
              AND (lease_until IS NULL OR (lease_until <= now() AND attempts < %(max_attempts)s))
        )
        ORDER BY leased_rows, last_turn NULLS FIRST LIMIT 8
    )
    UPDATE {table}
    SET lease_token = %(token)s, lease_until = now() + %(lease)s, attempts = attempts + 1, last_error = NULL,
        claimed_at = clock_timestamp()
    FROM (SELECT set_config('synchronous_commit', 'off', true)) asynchronous
    WHERE id = (
        SELECT due.id
        FROM next_orgs o
        CROSS JOIN LATERAL (
            SELECT t.id AS first_id FROM {table} t
            WHERE t.org_id = o.org_id AND {pending}
              AND (lease_until IS NULL OR (lease_until <= now() AND attempts < %(max_attempts)s))
            ORDER BY {order} LIMIT 8
        ) first_rows
        JOIN {table} due ON due.id = first_id
        WHERE {pending} AND (lease_until IS NULL OR (lease_until <= now() AND attempts < %(max_attempts)s))
        ORDER BY leased_rows, last_turn NULLS FIRST, {order}
        LIMIT 1 FOR NO KEY UPDATE OF due SKIP LOCKED
    )
    RETURNING {columns}
"""


def claim_next(conn: Conn, table: LeasedTable[T], token: UUID, lease: timedelta) -> list[T]:
    """Lease the next row of the organization whose turn it is. Return it in a list, which may be empty.

    The row is new, or expired with attempts left. Within an organization the first by `order` is next.
    """
    params = {"token": token, "lease": lease, "max_attempts": table.max_attempts}
    with conn.cursor(row_factory=table.row) as cursor:
        return cursor.execute(statement(CLAIM_NEXT, table), params, binary=True).fetchall()
