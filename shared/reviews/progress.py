"""Progress of players in a game: when each of them first scanned each of its codes.

The codes are those of a tag, of a quest, or all of the organization. A time is that of a player's first successful scan
of a code: held, annulled and failed scans have none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row, scalar_row

from shared.infra.db import Conn
from shared.infra.ids import LOWEST

MAX_CODES = 500


@dataclass(frozen=True)
class CodeColumn:
    """A code whose scans are one column of the table."""

    qr_id: UUID
    code: str


@dataclass(frozen=True)
class PlayerProgress:
    """A player, the numbers of the columns that have a time, from 1, and these times."""

    player_id: UUID
    username: str
    columns: Sequence[int]
    times: Sequence[datetime]


# The limit comes first: of an organization with too many codes, only the limit is read.
SELECT_CODES = """
    SELECT qr_id, code FROM (
        SELECT q.id AS qr_id, q.code FROM qr_codes q
        WHERE q.org_id = %(org_id)s AND q.deleted_at IS NULL
          AND (%(tag)s::text IS NULL OR q.tags @> ARRAY[%(tag)s::text])
        LIMIT %(limit)s
    ) codes
    ORDER BY code
"""
# The codes that advance a quest: in the order of its own list of texts or tags, which is that of its steps, then by
# text. An alias of a code leads to it, as in judging.
SELECT_CODES_OF_QUEST = """
    WITH quest AS (
        SELECT codes, tags FROM quests WHERE name = %(quest)s AND org_id = %(org_id)s AND by_scans
    ), steps AS (
        SELECT t.qr_code_id, array_position(quest.codes, t.code) AS number
        FROM quest JOIN code_texts t ON t.code = ANY (quest.codes)
        UNION ALL
        SELECT c.id, array_position(quest.tags, tag)
        FROM quest JOIN qr_codes c ON c.org_id = %(org_id)s AND c.deleted_at IS NULL AND c.tags && quest.tags
        CROSS JOIN LATERAL unnest(c.tags) tag WHERE tag = ANY (quest.tags)
    )
    SELECT c.id AS qr_id, c.code
    FROM (SELECT qr_code_id, min(number) AS number FROM steps GROUP BY qr_code_id) first_steps
    JOIN qr_codes c ON c.id = first_steps.qr_code_id AND c.org_id = %(org_id)s AND c.deleted_at IS NULL
    ORDER BY first_steps.number, c.code LIMIT %(limit)s
"""
# Of each code, the first players after the position of the page, each with the time of their first scan: one range of
# the index `player_scans_counted`. The first players of all codes together are among them.
SELECT_PAGE = """
    WITH first_scans AS MATERIALIZED (
        SELECT codes.number, s.player_id, s.scan_time
        FROM unnest(%(code_ids)s::uuid[]) WITH ORDINALITY AS codes (id, number)
        CROSS JOIN LATERAL (
            SELECT DISTINCT ON (s.player_id) s.player_id, s.scan_time FROM player_scans s
            WHERE s.qr_code_id = codes.id AND s.status = 'success' AND s.player_id > %(after)s
            ORDER BY s.player_id, s.scan_time LIMIT %(limit)s
        ) s
    ), page AS MATERIALIZED (
        SELECT DISTINCT player_id FROM first_scans ORDER BY player_id LIMIT %(limit)s
    ), table_rows AS MATERIALIZED (
        SELECT player_id, array_agg(number::integer) AS columns, array_agg(scan_time) AS times FROM first_scans
        WHERE player_id <= (SELECT player_id FROM page ORDER BY player_id DESC LIMIT 1) GROUP BY player_id
    )
    SELECT r.player_id, p.username, r.columns, r.times FROM table_rows r JOIN players p ON p.id = r.player_id
    ORDER BY r.player_id
"""


def has_quest(conn: Conn, org_id: UUID, quest: str) -> bool:
    """Return whether scans of the organization's codes advance this quest, or did before it was deactivated."""
    row = conn.execute(
        "SELECT FROM quests WHERE name = %(quest)s AND org_id = %(org_id)s AND by_scans",
        {"quest": quest, "org_id": org_id},
    ).fetchone()
    return row is not None


def list_quests(conn: Conn, org_id: UUID, *, limit: int) -> list[str]:
    """Return the names of the quests that scans of the organization's codes advance, in order."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(
            "SELECT name FROM quests WHERE org_id = %(org_id)s AND by_scans ORDER BY name LIMIT %(limit)s",
            {"org_id": org_id, "limit": limit},
        ).fetchall()


def list_codes(conn: Conn, org_id: UUID, *, tag: str | None = None, quest: str | None = None) -> list[CodeColumn]:
    """Return the codes of the tag, by text, or of the quest, by its steps; without both, all codes of the organization.

    Return at most MAX_CODES + 1. Deleted codes are left out.
    """
    params = {"org_id": org_id, "tag": tag, "quest": quest, "limit": MAX_CODES + 1}
    with conn.cursor(row_factory=class_row(CodeColumn)) as cursor:
        # A plan for any tag would read all codes.
        statement = SELECT_CODES if quest is None else SELECT_CODES_OF_QUEST
        return cursor.execute(statement, params, prepare=False).fetchall()


def list_players(
    conn: Conn, codes: Sequence[CodeColumn], *, limit: int, after: UUID | None = None
) -> list[PlayerProgress]:
    """Return players with a successful scan of any of these codes, in the order of ids after the player `after`."""
    params = {"code_ids": [code.qr_id for code in codes], "after": after or LOWEST, "limit": limit}
    with conn.cursor(row_factory=class_row(PlayerProgress)) as cursor:
        return cursor.execute(SELECT_PAGE, params, prepare=False).fetchall()
