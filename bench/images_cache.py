"""Images served, from the cache and as 304, against a constant behind the same checks; and the hit ratios of a mix.

The rival is a Flask route by hand: the same JWT, the same query of the session and of the role, then a constant of an
image's size. It has no validation, no row of a code, no request ids and no log. Both sides have eight keep-alive
connections from one client, and one gunicorn process with the same threads.
"""

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from typing import Any, cast
from uuid import UUID

from flask import Flask, Response
from flask_jwt_extended import JWTManager, create_access_token, get_jwt, jwt_required
from psycopg_pool import ConnectionPool

from bench.scans_load import Connection, ask, post, saturate
from bench.stack import Stack, scaled, serving
from bench.table import Figure
from shared.images.image_spec import ImageSpec
from shared.infra import cache as caches
from shared.infra import db
from shared.infra.db import Conn
from shared.infra.keys import derive_key
from shared.settings import settings
from web.http import auth

ROUNDS, SECONDS, CONNECTIONS = 5, 1.5, 8
ORGANIZATIONS, CODES = 20, 10_000
# The exponent of page requests.
ZIPF = 1.1
REQUESTS = 10_000
# Shares of all requests. The rest is for images.
STATISTICS, CHANGES = 0.05, 0.005
PUBLIC_URL = "https://waymark.example"
CONSTANT = random.Random(1).randbytes(700)


def seed(conn: Conn) -> None:
    """Create a player who owns twenty organizations with ten thousand codes."""
    conn.execute("INSERT INTO players (username) VALUES ('bench')")
    conn.execute(
        "INSERT INTO sessions (id, player_id, expires_at)"
        " SELECT waymark_uuid7(), id, now() + interval '1 day' FROM players"
    )
    conn.execute(
        "INSERT INTO organizations (name, slug) SELECT 'Bench ' || n, 'bench-' || n FROM generate_series(1, %s) n",
        (ORGANIZATIONS,),
    )
    conn.execute(
        "INSERT INTO memberships (org_id, player_id, role) SELECT o.id, p.id, 'owner' FROM organizations o, players p"
    )
    conn.execute(
        """
        INSERT INTO qr_codes (org_id, code, scan_type)
        SELECT o.id, o.slug || '-code-' || n, 'item_drop' FROM organizations o, generate_series(1, %s) n
        """,
        (CODES // ORGANIZATIONS,),
    )
    conn.execute("VACUUM ANALYZE")


@dataclass(frozen=True)
class World:
    """The token of a client, and organization, id and text of each code, the most popular first."""

    token: str
    codes: list[tuple[UUID, UUID, str]]

    @classmethod
    def load(cls) -> "World":
        app = Flask(__name__)
        auth.init_app(app, settings())
        with db.connection() as conn, app.app_context():
            player_id, session_id = db.exactly_one(conn.execute("SELECT player_id, id FROM sessions"))
            token = create_access_token(str(player_id), additional_claims={"family": str(session_id)})
            codes = conn.execute("SELECT org_id, id, code FROM qr_codes").fetchall()
        random.Random(2).shuffle(codes)
        return cls(token, cast("list[tuple[UUID, UUID, str]]", codes))

    def get(self, path: str, *headers: str) -> bytes:
        lines = [f"GET {path} HTTP/1.1", "Host: bench", f"Authorization: Bearer {self.token}", *headers]
        return "\r\n".join([*lines, "", ""]).encode()

    def image(self, n: int, *headers: str) -> bytes:
        org_id, qr_id, _code = self.codes[n]
        return self.get(f"/api/organizations/{org_id}/qr-codes/{qr_id}/image", *headers)

    def mix(self, requests: int) -> Iterator[bytes]:
        """Yield requests for images by Zipf's law, for statistics of the same organizations, and a few changes.

        A change of a description does not change the image, and a change of the code does.
        """
        dice = random.Random(3)
        weights = list(accumulate(1 / rank**ZIPF for rank in range(1, CODES + 1)))
        for turn in range(requests):
            (n,) = dice.choices(range(CODES), cum_weights=weights)
            org_id, qr_id, code = self.codes[n]
            kind = dice.random()
            if kind < CHANGES:
                field = ("description", "Moved") if kind < CHANGES / 2 else ("code", f"{code}-{turn}")
                body = '{{"{}": "{}"}}'.format(*field).encode()
                request = post(f"/api/organizations/{org_id}/qr-codes/{qr_id}", self.token, body)
                yield request.replace(b"POST", b"PATCH", 1)
            elif kind < CHANGES + STATISTICS:
                yield self.get(f"/api/organizations/{org_id}/stats")
            else:
                yield self.image(n)


def measure(where: Stack, scale: float) -> list[Figure]:
    """Measure rates in alternating rounds of Waymark and the rival, after one to warm up. Then measure the mix."""
    world = World.load()
    with (
        serving(where.data, "web", "web.app:create_app()", PUBLIC_URL=PUBLIC_URL) as waymark,
        serving(where.data, "rival-web", "bench.images_cache:create_rival()") as rival,
    ):
        return [*rates(world, waymark, rival, SECONDS * scale), *hit_ratios(world, waymark, scale)]


def rates(world: World, waymark: int, rival: int, seconds: float) -> list[Figure]:
    """Return the responses per second with one image."""
    tag = ImageSpec(f"{PUBLIC_URL}/s/{world.codes[0][2]}").digest()
    requests = {b"200": world.image(0), b"304": world.image(0, f'If-None-Match: "{tag}"')}

    def rate(port: int, status: bytes, request: bytes) -> float:
        return saturate(port, iter(lambda: request, b""), connections=CONNECTIONS, seconds=seconds, expected=status)

    _, *rounds = [
        (*(rate(waymark, *pair) for pair in requests.items()), rate(rival, b"200", requests[b"200"]))
        for _ in range(1 + ROUNDS)
    ]
    cached = [(cached, constant) for cached, _, constant in rounds]
    unchanged = [(unchanged, constant) for _, unchanged, constant in rounds]
    return [
        Figure.of_rounds("image from the cache", "requests/s", cached, "≥", 0.7),
        Figure.of_rounds("image unchanged (304)", "requests/s", unchanged, "≥", 0.7),
    ]


def hit_ratios(world: World, port: int, scale: float) -> list[Figure]:
    """Request each image once, as in the 24 hours of its cache entry. Then send the requests of the mix."""
    codes = scaled(CODES, scale)
    send(port, (world.image(n) for n in range(codes)))
    before = caches.lookup_counts() or {}
    send(port, world.mix(scaled(REQUESTS, scale, 100)))
    after = caches.lookup_counts() or {}

    def figure(name: Any, goal: float) -> Figure:
        hits, misses = (after[name, result] - before[name, result] for result in caches.RESULTS)
        return Figure(f"{name} in the cache, of {codes:,} codes", "requests", hits, hits + misses, "≥", goal)

    return [figure("images", 0.95), figure("statistics", 0.80)]


def send(port: int, requests: Iterator[bytes]) -> None:
    """Send requests one after another, and assert that each gets 200."""
    connection = Connection(port)
    for request in requests:
        ask(connection, request)
    connection.socket.close()


@cache
def pool() -> ConnectionPool:
    """Return a pool as large as Waymark's default. It is made on first use, after the fork."""
    return ConnectionPool(os.environ["DATABASE_URL"], min_size=1, max_size=12, open=True, kwargs={"autocommit": True})


def create_rival() -> Flask:
    """Return the application of the rival."""
    app = Flask(__name__)
    app.config.update(JWT_SECRET_KEY=derive_key(os.environ["JWT_SECRET"], "session tokens"), JWT_ALGORITHM="HS256")
    JWTManager(app)

    @app.get("/api/organizations/<org_id>/qr-codes/<qr_id>/image")
    @jwt_required()  # type: ignore[untyped-decorator]
    def image(org_id: str, qr_id: str) -> Response:  # noqa: ARG001
        claims = get_jwt()
        with pool().connection() as conn:
            session = conn.execute(
                """
                SELECT FROM sessions
                WHERE id = %s AND player_id = %s AND revoked_at IS NULL AND expires_at > now()
                """,
                (claims["family"], claims["sub"]),
            ).fetchone()
            role = conn.execute(
                "SELECT role FROM memberships WHERE org_id = %s AND player_id = %s", (org_id, claims["sub"])
            ).fetchone()
        if session is None or role is None:
            return Response(status=403)
        return Response(CONSTANT, mimetype="image/png")

    return app
