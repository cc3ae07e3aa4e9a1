"""The end of an import, in one transaction: what rows are to each other and to what there is, then all codes at once.

Whoever is killed here has added nothing, and whoever comes next begins this again; so no code is ever added twice.
"""

from collections.abc import Iterable
from uuid import UUID

from shared.analytics import cache_versions as statistics
from shared.codes.store import DEFINITION_COLUMNS
from shared.imports import store
from shared.imports.rules import ImportJob, unresolved_destinations
from shared.infra.db import Conn, exactly_one


class _CodeTaken(Exception):
    """Somebody else has made one of these codes since we looked."""


def commit(conn: Conn, job: ImportJob) -> int:
    """Add the codes whose rows are right, or none if one is wrong and the import is not partial; and end the import.
    Returns how many were added.

    Every row must have been judged. The last statement lets no cached statistics outlive the transaction.
    """
    while True:
        _find_conflicts(conn, job)
        good, failed = _counts(conn, job.id)
        if failed and not job.partial:
            rows = "1 row is" if failed == 1 else f"{failed:,} rows are"
            store.finish(conn, job.id, added=False, message=f"{rows} wrong, of {good + failed:,}: nothing was added")
            return 0
        try:
            with conn.transaction():
                _add(conn, job, good)
            break
        except _CodeTaken:
            continue
    store.finish(conn, job.id, added=True)
    statistics.bump_version(conn, job.org_id)
    return good


def _find_conflicts(conn: Conn, job: ImportJob) -> None:
    """Find what is wrong with rows that are right by themselves: their code is taken, leads to one that will not be
    there, or stands in the file twice. In this order: a row that is wrong makes no double of another."""
    conn.execute(
        """
        UPDATE import_candidates c SET field = 'code', message = 'is taken'
        WHERE c.import_id = %s AND c.message IS NULL
          AND EXISTS (SELECT FROM qr_codes q WHERE q.code = c.code AND q.deleted_at IS NULL)
        """,
        (job.id,),
    )
    conn.execute(
        """
        UPDATE import_candidates
        SET field = 'destination_code', message = 'neither this organization nor this import has such a code'
        WHERE import_id = %s AND line = ANY(%s)
        """,
        (
            job.id,
            list(
                unresolved_destinations(
                    _destinations(conn, job.id), _existing_destinations(conn, job), _duplicate_codes(conn, job.id)
                )
            ),
        ),
    )
    conn.execute(
        """
        UPDATE import_candidates c SET field = 'code', message = 'stands in line ' || d.first || ' already'
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
        WHERE import_id = %s AND message IS NULL AND destination_code IS NOT NULL
        """,
        (import_id,),
    ).fetchall()


def _duplicate_codes(conn: Conn, import_id: UUID) -> dict[str, int]:
    """The codes that several rows make, and how many."""
    rows = conn.execute(
        """
        SELECT code, count(*) FROM import_candidates WHERE import_id = %s AND message IS NULL
        GROUP BY code HAVING count(*) > 1
        """,
        (import_id,),
    )
    return {row[0]: row[1] for row in rows}


def _existing_destinations(conn: Conn, job: ImportJob) -> Iterable[str]:
    """Those destinations that the organization has, or the import brings."""
    rows = conn.execute(
        """
        WITH wanted AS (
            SELECT DISTINCT destination_code AS code FROM import_candidates
            WHERE import_id = %(id)s AND message IS NULL AND destination_code IS NOT NULL
        )
        SELECT code FROM wanted JOIN qr_codes q USING (code) WHERE q.org_id = %(org_id)s AND q.deleted_at IS NULL
        UNION ALL
        SELECT code FROM wanted JOIN import_candidates c USING (code) WHERE c.import_id = %(id)s AND c.message IS NULL
        """,
        {"id": job.id, "org_id": job.org_id},
    )
    return (row[0] for row in rows)


def _counts(conn: Conn, import_id: UUID) -> tuple[int, int]:
    """How many rows are right, and how many wrong."""
    row = exactly_one(
        conn.execute(
            """
            SELECT count(*) FILTER (WHERE message IS NULL), count(message) FROM import_candidates WHERE import_id = %s
            """,
            (import_id,),
        )
    )
    return row[0], row[1]


def _add(conn: Conn, job: ImportJob, good: int) -> None:
    """Add the codes of the rows that are right, so many. Raises _Overtaken.

    In the order of their texts: two imports of the same codes wait for each other, and neither for both.
    """
    names = ", ".join(DEFINITION_COLUMNS)
    values = ", ".join(f"d.{name}" for name in DEFINITION_COLUMNS)
    added = conn.execute(
        f"""
        INSERT INTO qr_codes (id, org_id, {names})
        SELECT c.id, %s, {values}
        FROM import_candidates c CROSS JOIN LATERAL jsonb_populate_record(NULL::qr_codes, c.definition) d
        WHERE c.import_id = %s AND c.message IS NULL
        ORDER BY c.code
        ON CONFLICT (code) WHERE deleted_at IS NULL DO NOTHING
        """,  # noqa: S608 - constants
        (job.org_id, job.id),
    ).rowcount
    if added < good:
        raise _CodeTaken
    conn.execute(
        """
        INSERT INTO encounters (qr_code_id, puzzle_type, difficulty_level, data, solution, max_attempts)
        SELECT c.id, e.puzzle_type, e.difficulty_level, e.data, e.solution, e.max_attempts
        FROM import_candidates c CROSS JOIN LATERAL jsonb_populate_record(NULL::encounters, c.encounter) e
        WHERE c.import_id = %s AND c.message IS NULL AND c.encounter IS NOT NULL
        """,
        (job.id,),
    )
