"""What both sides work on: players who are signed in, codes at places, a history, and new scans."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Any
from uuid import UUID

from flask import Flask
from flask_jwt_extended import create_access_token
from psycopg import ClientCursor

from bench.scans_load import post
from shared.infra import db
from shared.infra.db import Conn
from shared.settings import settings
from web.http import auth

PLAYERS, CODES, PAST_CODES = 1_000, 200, 50
BATCH = 100
LATITUDE, LONGITUDE = 52.3731, 4.8926
STEP = 0.00002  # degrees from one code to the next: all within 600 m, so no player travels impossibly fast
OFF, OFF_EVERY = 0.0009, 10  # every tenth scan is made 100 m away, which is outside the radius


@dataclass(frozen=True)
class Player:
    """A player with a valid access token."""

    id: UUID
    token: str


def seed(conn: Conn) -> None:
    """Insert players with a session each, and codes that give each player at their location a gem once.

    Yesterday's 50,000 scans of other codes make tables and indexes large enough for the query plans of production.
    """
    ClientCursor(conn).execute(
        """
        INSERT INTO players (username) SELECT 'bench' || n FROM generate_series(0, %(players)s - 1) n;
        INSERT INTO sessions (id, player_id, expires_at)
            SELECT waymark_uuid7(), id, now() + interval '1 day' FROM players;
        INSERT INTO organizations (name, slug) VALUES ('Bench', 'bench');
        INSERT INTO qr_codes (org_id, code, scan_type, requires_location, latitude, longitude, reward_item,
                              reward_quantity)
            SELECT o.id, 'bench' || n, 'item_drop', true, %(latitude)s + n * %(step)s, %(longitude)s, 'gem', 1
            FROM organizations o, generate_series(0, %(codes)s + %(past_codes)s - 1) n;
        INSERT INTO player_scans (player_id, qr_code_id, org_id, qr_code, latitude, longitude, scan_time, status,
                                  settled_at)
            SELECT p.id, q.id, q.org_id, q.code, q.latitude, q.longitude, now() - interval '1 day', 'success', now()
            FROM generate_series(0, %(past_codes)s - 1) n
            JOIN qr_codes q ON q.code = 'bench' || %(codes)s + n
            CROSS JOIN players p;
        """,
        {
            "players": PLAYERS,
            "codes": CODES,
            "past_codes": PAST_CODES,
            "latitude": LATITUDE,
            "longitude": LONGITUDE,
            "step": STEP,
        },
    )
    conn.execute("VACUUM ANALYZE")


def clear(conn: Conn) -> None:
    """Take away what earlier rounds left; yesterday's scans stay."""
    conn.execute("DELETE FROM player_scans WHERE scan_time > now() - interval '12 hours'")
    conn.execute("TRUNCATE events, log_positions, log_servers, inventory_ledger")
    conn.execute("VACUUM ANALYZE")


def preload(conn: Conn, scans: int) -> list[UUID]:
    """This many pending scans and no others: no player scans a code twice, one in ten is too far away. Returns their
    ids in order."""
    clear(conn)
    conn.execute(
        """
        INSERT INTO player_scans (player_id, qr_code_id, org_id, qr_code, latitude, longitude, accuracy, request_id)
        SELECT p.id, q.id, q.org_id, q.code, q.latitude + CASE WHEN n %% %(off_every)s = 0 THEN %(off)s ELSE 0 END,
               q.longitude,
               5, gen_random_uuid()
        FROM generate_series(0, %(scans)s - 1) n
        JOIN players p ON p.username = 'bench' || n %% %(players)s
        JOIN qr_codes q ON q.code = 'bench' || (n + n / %(players)s) %% %(codes)s
        ORDER BY n
        """,
        {"scans": scans, "players": PLAYERS, "codes": CODES, "off": OFF, "off_every": OFF_EVERY},
    )
    conn.execute("VACUUM ANALYZE")
    pending = conn.execute("SELECT id FROM player_scans WHERE status = 'pending' ORDER BY id")
    return [row[0] for row in pending.fetchall()]


def sign_in() -> list[Player]:
    """Every player with a token, made as web makes them."""
    app = Flask(__name__)
    auth.init_app(app, settings())
    with db.connection() as conn:
        rows = conn.execute("SELECT player_id, id FROM sessions ORDER BY id").fetchall()
    with app.app_context():
        return [
            Player(player, create_access_token(str(player), additional_claims={"family": str(family)}))
            for player, family in rows
        ]


def scan_requests(players: list[Player], path: str, *headers: str) -> Iterator[bytes]:
    """Requests of one player after another, each of the player's next code, on the spot."""
    for n in count():
        player = players[n % PLAYERS]
        body = _body(player, (n + n // PLAYERS) % CODES)
        yield post(path, player.token, json.dumps(body).encode(), *headers)


def batch_requests(players: list[Player], path: str) -> Iterator[bytes]:
    """Requests of one player after another, each with scans of half of the codes, made offline on the spot."""
    now = datetime.now(UTC).isoformat()
    templates = []
    for player in players:
        scans = [_body(player, code) | {"scanned_at": now, "nonce": f"NUMBER-{code}"} for code in range(BATCH)]
        templates.append(json.dumps({"sent_at": now, "scans": scans}).encode())
    for n in count():
        player, template = players[n % PLAYERS], templates[n % PLAYERS]
        yield post(path, player.token, template.replace(b"NUMBER", str(n).encode()))


def _body(player: Player, code: int) -> dict[str, Any]:
    return {
        "player_id": str(player.id),
        "qr_code": f"bench{code}",
        "latitude": LATITUDE + code * STEP,
        "longitude": LONGITUDE,
        "accuracy": 5,
    }
