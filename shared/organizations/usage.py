"""What an organization uses of its quotas: codes, and bytes of logos and render files.

Triggers keep the counts in `organization_usage`. Its row is the last that a transaction locks.
"""

from uuid import UUID

from shared.errors import QuotaExceeded
from shared.infra.db import Conn, exactly_one

MEGABYTE = 1_000_000
TEXTS_PER_CODE = 10
"""Code texts that an organization can claim for each code of its quota. It keeps those of deleted codes forever."""


def count_codes(conn: Conn, org_id: UUID) -> int:
    """Return how many codes the organization has, without deleted ones."""
    row = conn.execute("SELECT codes FROM organization_usage WHERE org_id = %(org_id)s", {"org_id": org_id}).fetchone()
    return int(row[0]) if row else 0


def check_codes(conn: Conn, org_id: UUID, *, added: int, limit: int, is_dry_run: bool = False) -> None:
    """Raise QuotaExceeded if the organization has more codes than `limit`, with those that this transaction added.

    A dry run has not added them.
    """
    # Adding the codes has locked the row, so no other transaction adds codes before this one ends.
    codes = count_codes(conn, org_id) + (added if is_dry_run else 0)
    if added and codes > limit:
        hint = "Delete some first." if added == 1 else f"{added:,} more do not fit. Delete some first."
        raise QuotaExceeded("MAX_CODES_PER_ORGANIZATION", codes - added, limit, "codes of this organization", hint)
    if not is_dry_run:
        check_texts(conn, org_id, max_codes=limit)


def check_texts(conn: Conn, org_id: UUID, *, max_codes: int) -> None:
    """Raise QuotaExceeded if the organization has claimed too many code texts, with those of this transaction."""
    # Claiming a text has locked the row. Its count is an upper bound, so the texts are rarely counted one by one.
    limit, params = TEXTS_PER_CODE * max_codes, {"org_id": org_id}
    row = conn.execute("SELECT texts FROM organization_usage WHERE org_id = %(org_id)s", params).fetchone()
    if row is None or row[0] <= limit:
        return
    (texts,) = exactly_one(conn.execute("SELECT count(*) FROM code_texts WHERE org_id = %(org_id)s", params))
    if texts > limit:
        hint = f"{TEXTS_PER_CODE} are allowed for each code of the quota. Use texts of deleted codes again."
        raise QuotaExceeded("MAX_CODES_PER_ORGANIZATION", texts - 1, limit, "code texts of this organization", hint)
    conn.execute("UPDATE organization_usage SET texts = %(texts)s WHERE org_id = %(org_id)s", params | {"texts": texts})


def check_files(conn: Conn, org_id: UUID, *, added_bytes: int, limit_mb: int) -> None:
    """Raise QuotaExceeded if logos and render files have more than `limit_mb`, with what this transaction stored.

    With nothing stored, raise it if nothing more fits. The usage stays locked until the transaction ends.
    """
    lock(conn, org_id)
    (used,) = exactly_one(
        conn.execute(
            """
            SELECT u.logo_bytes + (
                SELECT coalesce(sum(file_bytes), 0) FROM render_jobs
                WHERE org_id = %(org_id)s AND status = 'done' AND expires_at > now())
            FROM organization_usage u WHERE u.org_id = %(org_id)s
            """,
            {"org_id": org_id},
        )
    )
    before, limit = int(used) - added_bytes, limit_mb * MEGABYTE
    if used > limit or before >= limit:
        raise QuotaExceeded(
            "MAX_FILES_MB_PER_ORGANIZATION",
            before // MEGABYTE,
            limit_mb,
            "MB for render files and logos of this organization",
            "Delete a render or a logo first.",
        )


def lock(conn: Conn, org_id: UUID) -> None:
    """Lock the usage of an organization until the transaction ends. Lock it last, and count afterwards."""
    # A row that does not exist cannot be locked. The read is a statement of its own: it must see what another
    # transaction committed while this one waited.
    conn.execute(
        "INSERT INTO organization_usage (org_id) VALUES (%(org_id)s) ON CONFLICT DO NOTHING", {"org_id": org_id}
    )
    conn.execute("SELECT FROM organization_usage WHERE org_id = %(org_id)s FOR NO KEY UPDATE", {"org_id": org_id})
