"""The rival's web: Flask routes by hand, with the same JWT check as Waymark, one INSERT, and one `actor.send()`.

It returns the same responses without the rest: nonces, validation by schema, request ids, triggers and events.
Both are served by gunicorn with the settings of web/gunicorn_conf.py.
"""

import os
from functools import cache
from uuid import UUID

from flask import Flask, jsonify, request
from flask.typing import ResponseReturnValue
from flask_jwt_extended import JWTManager, get_jwt, verify_jwt_in_request
from psycopg import connect
from psycopg_pool import ConnectionPool

from bench.scans_rival_worker import judge_and_tell, judge_scan
from shared.infra.ids import uuid7
from shared.infra.keys import derive_key

PLAIN_TABLE = """
    CREATE TABLE IF NOT EXISTS plain_scans (
        id uuid PRIMARY KEY, player_id uuid NOT NULL, qr_code text NOT NULL, latitude float8, longitude float8,
        accuracy float8, status text NOT NULL DEFAULT 'pending', received_at timestamptz NOT NULL DEFAULT now())
"""


@cache
def pool() -> ConnectionPool:
    """Return a pool as large as Waymark's default. It is made on first use, after the fork."""
    return ConnectionPool(os.environ["DATABASE_URL"], min_size=1, max_size=12, open=True)


def create_app() -> Flask:
    """The application."""
    with connect(os.environ["DATABASE_URL"]) as conn:
        conn.execute(PLAIN_TABLE)
    app = Flask(__name__)
    app.config.update(JWT_SECRET_KEY=derive_key(os.environ["JWT_SECRET"], "session tokens"), JWT_ALGORITHM="HS256")
    JWTManager(app)

    @app.post("/scan")
    def accept() -> ResponseReturnValue:
        """202 once the scan is committed in a plain table, and its message is sent."""
        scan_id = insert(
            """
            INSERT INTO plain_scans (id, player_id, qr_code, latitude, longitude, accuracy)
            VALUES (%(id)s, %(player_id)s, %(qr_code)s, %(latitude)s, %(longitude)s, %(accuracy)s)
            """
        )
        if scan_id is None:
            return {"error": "unauthenticated"}, 401
        judge_scan.send(str(scan_id))
        return jsonify(scan_id=str(scan_id), status="pending", result_url=f"/scan/{scan_id}"), 202

    @app.post("/scan-and-wait")
    def accept_and_wait() -> ResponseReturnValue:
        """The verdict, by Dramatiq's result backend: `message.get_result(block=True)`."""
        scan_id = insert(
            """
            INSERT INTO player_scans (id, player_id, qr_code, qr_code_id, org_id, latitude, longitude, accuracy, device)
            SELECT %(id)s, %(player_id)s, code, id, org_id, %(latitude)s, %(longitude)s, %(accuracy)s, 'other'
            FROM qr_codes WHERE code = %(qr_code)s
            """
        )
        if scan_id is None:
            return {"error": "unauthenticated"}, 401
        message = judge_and_tell.send(str(scan_id))
        return jsonify(message.get_result(block=True, timeout=10_000))

    return app


def insert(statement: str) -> UUID | None:
    """Check the token, then look whether its login still holds and insert the scan, in one transaction. None if not."""
    verify_jwt_in_request()
    claims, body, scan_id = get_jwt(), request.get_json(), uuid7()
    with pool().connection() as conn:
        alive = conn.execute(
            """
            SELECT FROM sessions
            WHERE id = %s AND player_id = %s AND revoked_at IS NULL AND expires_at > now()
            """,
            (claims["family"], claims["sub"]),
        ).fetchone()
        if alive is None or claims["sub"] != body["player_id"]:
            return None
        conn.execute(statement, body | {"id": scan_id})
    return scan_id
