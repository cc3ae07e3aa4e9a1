"""Names of the players that an organization knows: its members, and players who scanned its codes."""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from psycopg.rows import class_row

from shared.infra.db import Conn

RECENT_SCANS = 100
"""Of a player. Scans that are not in the rollups yet are among them, unless the player scans hundreds in seconds."""


@dataclass(frozen=True)
class PlayerName:
    """A player and their current username."""

    player_id: UUID
    username: str


# A player can have many scans elsewhere and none here: rollups and few scans are read, not all of them.
IS_KNOWN = """
    AND (
        EXISTS (SELECT FROM memberships m WHERE m.org_id = %(org_id)s AND m.player_id = p.id)
        OR EXISTS (SELECT FROM scan_all_time_players a WHERE a.subject_id = %(org_id)s AND a.player_id = p.id)
        OR EXISTS (
            SELECT FROM (
                SELECT s.org_id FROM player_scans s WHERE s.player_id = p.id AND NOT s.outside_history
                ORDER BY s.scan_time DESC LIMIT %(recent_scans)s
            ) recent_scans
            WHERE recent_scans.org_id = %(org_id)s))
"""
SELECT_PLAYER = "SELECT p.id AS player_id, p.username FROM players p "
SELECT_BY_IDS = SELECT_PLAYER + "WHERE p.id = ANY (%(player_ids)s)" + IS_KNOWN + "ORDER BY p.id"
SELECT_BY_NAME = SELECT_PLAYER + "WHERE lower(p.username) = lower(%(username)s)" + IS_KNOWN


def list_names(conn: Conn, org_id: UUID, player_ids: Collection[UUID]) -> list[PlayerName]:
    """Return the names of those of these players that the organization knows, by id."""
    params = {"org_id": org_id, "player_ids": list(player_ids), "recent_scans": RECENT_SCANS}
    with conn.cursor(row_factory=class_row(PlayerName)) as cursor:
        return cursor.execute(SELECT_BY_IDS, params).fetchall()


def find_by_name(conn: Conn, org_id: UUID, username: str) -> PlayerName | None:
    """Return the player of this username, in any case. None if the organization knows no such player."""
    params = {"org_id": org_id, "username": username, "recent_scans": RECENT_SCANS}
    with conn.cursor(row_factory=class_row(PlayerName)) as cursor:
        return cursor.execute(SELECT_BY_NAME, params).fetchone()
