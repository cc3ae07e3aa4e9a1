"""The end of an import, in one transaction: find conflicts between rows and with existing codes, then add all codes.

A worker that crashes here has added nothing. The next worker repeats the transaction, so no code is added twice.
"""

from collections.abc import Iterable
from uuid import UUID

from shared.analytics import cache_versions
from shared.codes import store as codes
from shared.errors import CodeTaken, QuotaExceeded
from shared.imports import store
from shared.imports.rules import ImportJob, unresolved_destinations
from shared.infra.constraint_errors import translate_constraint_errors
from shared.infra.db import Conn, exactly_one
from shared.organizations import usage


def commit(conn: Conn, job: ImportJob, *, max_codes: int) -> int:
    """Add the codes of valid rows, and finish the import. Return how many codes were added.

    If a row is invalid and the import is not partial, no code is added. Every row must have been validated. Raise
    QuotaExceeded if the organization would have more than `max_codes`. A dry run adds none, and raises nothing.
    """
    while True:
        _replace_taken_texts(conn, job.id)
        _find_conflicts(conn, job)
        valid, failed = _counts(conn, job.id)
        if job.dry_run:
            store.finish(conn, job.id, "checked", _quota_message(conn, job.org_id, valid, max_codes))
            return 0
        if failed and not job.partial:
            message = (
                f"{failed:,} of {valid + failed:,} rows {'is' if failed == 1 else 'are'} invalid. No code was added."
            )
            store.finish(conn, job.id, "failed", message)
            return 0
        try:
            with conn.transaction():
                _add_codes(conn, job)
            break
        except CodeTaken:
            # Another transaction used one of these texts after the check for conflicts.
            continue
    usage.check_codes(conn, job.org_id, added=valid, limit=max_codes)
    store.finish(conn, job.id, "done")
    # Last: no cached statistics outlive the transaction.
    cache_versions.bump_version(conn, job.org_id)
    return valid


def _quota_message(conn: Conn, org_id: UUID, valid: int, max_codes: int) -> str | None:
    """Return why the codes of a dry run do not fit the quota, or None if they do."""
    try:
        usage.check_codes(conn, org_id, added=valid, limit=max_codes, is_dry_run=True)
    except QuotaExceeded as error:
        return str(error)
    return None


def _replace_taken_texts(conn: Conn, import_id: UUID) -> None:
    """Generate another text for each row whose generated text is taken, or also in another row."""
    while lines := conn.execute(
        """
        SELECT c.line FROM (
            SELECT line, code, is_generated, count(*) OVER (PARTITION BY code) AS rows_with_code
            FROM import_candidates WHERE import_id = %(id)s AND message IS NULL
        ) c
        WHERE c.is_generated
          AND (c.rows_with_code > 1 OR EXISTS (SELECT FROM code_texts t WHERE t.code = c.code))
        """,
        {"id": import_id},
    ).fetchall():
        conn.execute(
            """
            UPDATE import_candidates c
            SET code = n.code, definition = jsonb_set(c.definition, '{code}', to_jsonb(n.code))
            FROM unnest(%(lines)s::integer[], %(codes)s::text[]) n (line, code)
            WHERE c.import_id = %(id)s AND c.line = n.line
            """,
            {
                "id": import_id,
                "lines": [line for (line,) in lines],
                "codes": [codes.generate_code_text() for _ in lines],
            },
        )


def _find_conflicts(conn: Conn, job: ImportJob) -> None:
    """Mark valid rows whose code is taken, whose destination will not exist, or whose code an earlier row creates."""
    # In this order: the code of an invalid row is free for another row.
    conn.execute(
        """
        UPDATE import_candidates c SET field = 'code', message = 'This code text is taken.'
        WHERE c.import_id = %(id)s AND c.message IS NULL
          AND EXISTS (
              SELECT FROM code_texts t WHERE t.code = c.code AND (t.org_id <> %(org_id)s OR EXISTS (
                  SELECT FROM qr_codes q WHERE q.id = t.qr_code_id AND q.deleted_at IS NULL)))
        """,
        {"id": job.id, "org_id": job.org_id},
    )
    unresolved = unresolved_destinations(
        _destinations(conn, job.id), _existing_destinations(conn, job), _duplicate_codes(conn, job.id)
    )
    conn.execute(
        """
        UPDATE import_candidates
        SET field = 'destination_code', message = 'Neither this organization nor this import has such a code.'
        WHERE import_id = %(id)s AND line = ANY (%(lines)s)
        """,
        {"id": job.id, "lines": list(unresolved)},
    )
    conn.execute(
        """
        UPDATE import_candidates c SET field = 'code', message = 'This code is already in line ' || d.first || '.'
        FROM (SELECT line, min(line) OVER (PARTITION BY code) AS first FROM import_candidates
              WHERE import_id = %(id)s AND message IS NULL) d
        WHERE c.import_id = %(id)s AND c.line = d.line AND d.first < d.line
        """,
        {"id": job.id},
    )


def _destinations(conn: Conn, import_id: UUID) -> Iterable[tuple[int, str, str]]:
    return conn.execute(
        """
        SELECT line, code, destination_code FROM import_candidates
        WHERE import_id = %(id)s AND message IS NULL AND destination_code IS NOT NULL
        """,
        {"id": import_id},
    ).fetchall()


def _duplicate_codes(conn: Conn, import_id: UUID) -> dict[str, int]:
    """Return the codes that several rows create, with the number of these rows."""
    rows = conn.execute(
        """
        SELECT code, count(*) FROM import_candidates WHERE import_id = %(id)s AND message IS NULL
        GROUP BY code HAVING count(*) > 1
        """,
        {"id": import_id},
    )
    return {row[0]: row[1] for row in rows}


def _existing_destinations(conn: Conn, job: ImportJob) -> Iterable[str]:
    """Return the destinations that the organization has, or that the import creates.

    Those that it has cannot be deleted until the transaction ends.
    """
    # In id order, so two imports never wait for each other.
    rows = conn.execute(
        """
        WITH destinations AS (
            SELECT DISTINCT destination_code AS code FROM import_candidates
            WHERE import_id = %(id)s AND message IS NULL AND destination_code IS NOT NULL
        ), locked_codes AS MATERIALIZED (
            SELECT destinations.code
            FROM destinations JOIN code_texts t USING (code) JOIN qr_codes q ON q.id = t.qr_code_id
            WHERE q.org_id = %(org_id)s AND q.deleted_at IS NULL
            ORDER BY q.id FOR KEY SHARE OF q
        )
        SELECT code FROM locked_codes
        UNION ALL
        SELECT code FROM destinations JOIN import_candidates c USING (code)
        WHERE c.import_id = %(id)s AND c.message IS NULL
        """,
        {"id": job.id, "org_id": job.org_id},
    )
    return (row[0] for row in rows)


def _counts(conn: Conn, import_id: UUID) -> tuple[int, int]:
    """Return how many rows are valid, and how many are not."""
    valid, failed = exactly_one(
        conn.execute(
            """
            SELECT count(*) FILTER (WHERE message IS NULL), count(message) FROM import_candidates
            WHERE import_id = %(id)s
            """,
            {"id": import_id},
        )
    )
    return valid, failed


@translate_constraint_errors()
def _add_codes(conn: Conn, job: ImportJob) -> None:
    """Add the codes of all valid rows. Raise CodeTaken if one of their texts is taken by now."""
    # In the order of code texts: of two imports of the same codes one waits for the other, and never both.
    conn.execute(
        """
        INSERT INTO qr_codes (
            id, org_id, code, description, scan_type, requires_location, latitude, longitude, radius_m, reward_item,
            reward_quantity, destination_id, target_url, active, starts_at, expires_at, max_scans, per_player_limit,
            cooldown_seconds, offline_hours, answer_within_hours, rotating, rotation_seconds, tags
        )
        SELECT c.id, %(org_id)s, d.code, d.description, d.scan_type, d.requires_location, d.latitude, d.longitude,
               d.radius_m, d.reward_item, d.reward_quantity, coalesce(destination.id, t.qr_code_id), d.target_url,
               d.active, d.starts_at, d.expires_at, d.max_scans, d.per_player_limit, d.cooldown_seconds,
               d.offline_hours, d.answer_within_hours, d.rotating, d.rotation_seconds, d.tags
        FROM import_candidates c CROSS JOIN LATERAL jsonb_populate_record(NULL::qr_codes, c.definition) d
        LEFT JOIN import_candidates destination ON destination.import_id = c.import_id
            AND destination.code = c.destination_code AND destination.message IS NULL
        LEFT JOIN code_texts t ON t.code = c.destination_code
        WHERE c.import_id = %(id)s AND c.message IS NULL
        ORDER BY c.code
        """,
        {"id": job.id, "org_id": job.org_id},
    )
    conn.execute(
        """
        INSERT INTO encounters (qr_code_id, puzzle_type, difficulty_level, data, solution, max_attempts)
        SELECT c.id, e.puzzle_type, e.difficulty_level, e.data, e.solution, e.max_attempts
        FROM import_candidates c CROSS JOIN LATERAL jsonb_populate_record(NULL::encounters, c.encounter) e
        WHERE c.import_id = %(id)s AND c.message IS NULL AND c.encounter IS NOT NULL
        """,
        {"id": job.id},
    )
