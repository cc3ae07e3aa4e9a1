"""Staff pages of an organization with 100 thousand codes and one million scans. `python -m bench staff`.

Each page is requested through the WSGI application, alternating with the JSON route of the same content.
"""

import gc
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any
from unittest.mock import patch
from uuid import UUID

import psutil
import psycopg
from flask import Flask, Response
from flask.testing import FlaskClient

from bench.cpu_time import cpu_seconds
from bench.stack import scaled, stack
from bench.staff_data import seed
from bench.table import Figure, Table, percentile, print_table
from shared.analytics.cache_versions import bump_version
from shared.infra import db
from shared.infra.db import Conn, exactly_one
from shared.infra.logging import configure
from web.http.pagination import encode_cursor
from web.http.session_cookies import set_session_cookie

CODES, SCANS = 100_000, 1_000_000
ROUNDS, CALLS, WARMUP_CALLS, CPU_CALLS = 3, 15, 2, 5
MAX_P95_MS = 300.0
MAX_QUERIES = 15
SCANS_BEFORE = 5_000
"""Scans that are older than those of the deep page."""


@dataclass(frozen=True)
class Subject:
    """A staff page and the JSON route of the same content: paths below the organization.

    `is_counted`: no statistics are cached, as after each scan.
    """

    name: str
    page: str
    route: str
    is_counted: bool = False


@dataclass(frozen=True)
class Cost:
    """What a page costs: statements, and bytes of HTML before compression."""

    queries: int
    kilobytes: float


@dataclass(frozen=True)
class Times:
    """The seconds of each call by round, of a page and of its route, and the CPU seconds of a page by round."""

    pages: list[list[float]] = field(default_factory=list)
    routes: list[list[float]] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


def main(scale: float = 1.0) -> list[Table]:
    """Fill a database, measure each page in turn with its route, and return the table."""
    os.environ["LOG_LEVEL"] = "WARNING"
    codes, scans = scaled(CODES, scale, minimum=1_000), scaled(SCANS, scale, minimum=10_000)
    with stack(lambda _conn: None):
        configure("bench")
        began = time.perf_counter()
        with db.connection() as conn:
            seed(conn, codes=codes, scans=scans)
        print(f"{codes:,} codes and {scans:,} scans inserted in {time.perf_counter() - began:.0f} s")
        with db.connection() as conn:
            (org_id,) = exactly_one(conn.execute("SELECT id FROM organizations"))
            subjects = describe(conn)
            player, session = exactly_one(conn.execute("SELECT player_id, id FROM sessions"))
        client = signed_in(player, session)
        costs = {subject.name: cost(client, subject.page) for subject in subjects}
        times = measure(client, org_id, subjects)
    return [report(subjects, costs, times)]


def describe(conn: Conn) -> list[Subject]:
    """Return the pages."""
    (deep,) = exactly_one(conn.execute("SELECT percentile_disc(0.1) WITHIN GROUP (ORDER BY id) FROM qr_codes"))
    at, scan = exactly_one(
        conn.execute("SELECT scan_time, id FROM player_scans ORDER BY id OFFSET %s LIMIT 1", (SCANS_BEFORE,))
    )
    code_cursor, scan_cursor = encode_cursor(str(deep)), encode_cursor(at.isoformat(), str(scan))
    codes, scans = "qr-codes?include=usage,total&limit=50", "scans?status=any&limit=50"
    world = "qr-codes/places?bbox=-180,-90,180,90&zoom=2"
    return [
        Subject("overview", "", "timeline?period=30d"),
        Subject("codes", "/codes", codes),
        *(
            Subject(f"codes, {query}", f"/codes?{query}", f"{codes}&{query}")
            for query in ("q=lamp", "q=ost+12345", "q=nowhere", "tag=zone7", "scan_type=transportation", "active=false")
        ),
        Subject("codes, deep", f"/codes?cursor={code_cursor}", f"{codes}&cursor={code_cursor}"),
        Subject("map", "/map", world),
        Subject("map, q=lamp", "/map?q=lamp", f"{world}&q=lamp"),
        Subject("map, tag=zone7", "/map?tag=zone7", f"{world}&tag=zone7"),
        Subject("analytics, 30d", "/analytics?period=30d&tz=UTC", "timeline?period=30d"),
        Subject("analytics, 1y", "/analytics?period=1y&tz=Europe/Amsterdam", "timeline?period=1y&tz=Europe/Amsterdam"),
        Subject("analytics, 1y, compared", "/analytics?period=1y&compare=1", "timeline?period=1y"),
        Subject("analytics, 1y, counted", "/analytics?period=1y&tz=Europe/Amsterdam", "stats", is_counted=True),
        Subject("live", "/live", scans),
        Subject("live, tag=zone7", "/live?tag=zone7", f"{scans}&tag=zone7"),
        Subject("live, scan_type=encounter", "/live?scan_type=encounter", scans),
        Subject("scans", "/scans", scans),
        Subject("scans, deep", f"/scans?cursor={scan_cursor}", f"{scans}&cursor={scan_cursor}"),
        Subject("scans, status=failure", "/scans?status=failure", "scans?status=failure&limit=50"),
        Subject("scans, reason", "/scans?reason=not_present", f"{scans}&reason=not_present"),
        Subject("scans, code=bench0", "/scans?code=bench0", f"{scans}&code=bench0"),
        Subject("scans, tag=zone7", "/scans?tag=zone7", f"{scans}&tag=zone7"),
        Subject("scans, tag=rare", "/scans?tag=rare", f"{scans}&tag=rare"),
        Subject("scans, tag and status", "/scans?tag=zone7&status=success", "scans?status=success&tag=zone7&limit=50"),
        Subject("scans, code and status", "/scans?code=bench0&status=held", "scans?status=held&code=bench0&limit=50"),
        Subject("scans, player=bench7", "/scans?player=bench7", scans),
        Subject("scans, period=30d", "/scans?period=30d", scans),
        Subject("reviews", "/reviews", "scans?limit=50"),
        Subject("progress, all codes", "/progress", "tags"),
        Subject("progress, tag of 300", "/progress?of=tag:game", "progress?tag=game&limit=50"),
        Subject("renders", "/renders", "renders"),
        Subject("render form", "/renders/new", "label-templates"),
        Subject("quests", "/quests", "quests"),
        Subject("screens", "/screens", "screens"),
        Subject("audit log", "/audit-log", "audit"),
        Subject("members", "/members", "members"),
        Subject("API keys", "/api-keys", "api-keys"),
        Subject("redemptions", "/redemptions", "redemptions"),
        Subject("map, then a city", "/map?fragment", "qr-codes/places?bbox=4.7,52.2,5.1,52.5&zoom=11"),
    ]


def signed_in(player_id: Any, session_id: Any) -> FlaskClient:
    """Return a client with the session cookie of a player."""
    from web.app import create_app  # noqa: PLC0415 - an application reads the settings of the stack

    app: Flask = create_app()
    with app.test_request_context():
        response = Response()
        set_session_cookie(response, player_id, session_id)
    # As a web process does before its first request.
    gc.collect()
    gc.freeze()
    client = app.test_client()
    for cookie in response.headers.getlist("Set-Cookie"):
        client.set_cookie(*cookie.split(";")[0].split("=", 1))
    return client


def get(client: FlaskClient, path: str) -> Any:
    """Return the response of a page or a route. Exit if it failed."""
    response = client.get(path, headers={"Accept": "text/html", "Sec-Fetch-Site": "same-origin"})
    assert response.status_code == 200, (path, response.status_code, response.text[:500])
    return response


def cost(client: FlaskClient, path: str) -> Cost:
    """Return what the page costs when its caches are filled."""
    get(client, f"/o/bench{path}")
    with counted_queries() as queries:
        response = get(client, f"/o/bench{path}")
    return Cost(len(queries), len(response.data) / 1_000)


@contextmanager
def counted_queries() -> Iterator[list[Any]]:
    """Collect the statements that this process executes."""
    queries: list[Any] = []
    execute = psycopg.Cursor.execute

    def collect(cursor: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        queries.append(query)
        return execute(cursor, query, *args, **kwargs)

    with patch.object(psycopg.Cursor, "execute", collect):
        yield queries


def measure(client: FlaskClient, org_id: UUID, subjects: list[Subject]) -> dict[str, Times]:
    """Return the times of each page, by its name."""
    times = {subject.name: Times() for subject in subjects}
    for _ in range(ROUNDS):
        for subject in subjects:
            paths = (f"/o/bench{subject.page}", f"/api/organizations/{org_id}/{subject.route}")
            pages: list[float] = []
            routes: list[float] = []
            for _ in range(WARMUP_CALLS + CALLS):
                for path, durations in zip(paths, (pages, routes), strict=True):
                    if subject.is_counted:
                        drop_statistics(org_id)
                    durations.append(seconds(client, path))
            times[subject.name].pages.append(pages[WARMUP_CALLS:])
            times[subject.name].routes.append(routes[WARMUP_CALLS:])
            times[subject.name].cpu.append(cpu_seconds_of(client, org_id, subject))
    return times


def cpu_seconds_of(client: FlaskClient, org_id: UUID, subject: Subject) -> float:
    """Return the mean CPU time of a request of the page, in this process and in the stores."""
    start = cpu_seconds([psutil.Process()])
    for _ in range(CPU_CALLS):
        if subject.is_counted:
            drop_statistics(org_id)
        get(client, f"/o/bench{subject.page}")
    return (cpu_seconds([psutil.Process()]) - start) / CPU_CALLS


def drop_statistics(org_id: UUID) -> None:
    """Make the cached statistics of the organization unreachable."""
    with db.connection() as conn:
        bump_version(conn, org_id)


def seconds(client: FlaskClient, path: str) -> float:
    began = time.perf_counter()
    get(client, path)
    return time.perf_counter() - began


def report(subjects: list[Subject], costs: dict[str, Cost], times: dict[str, Times]) -> Table:
    """Print the durations and costs of each page. The goals are durations and numbers of statements, not ratios."""
    lines, is_met = [("page", "p50, ms", "p95, ms", "CPU, ms", "statements", "HTML, kB", "")], True
    for subject in subjects:
        all_times = [each for one in times[subject.name].pages for each in one]
        p50, p95 = percentile(all_times, 50), percentile(all_times, 95)
        page = costs[subject.name]
        met = p95 < MAX_P95_MS and page.queries <= MAX_QUERIES
        is_met = is_met and met
        cpu = 1_000 * median(times[subject.name].cpu)
        line = (subject.name, f"{p50:.0f}", f"{p95:.0f}", f"{cpu:.0f}", str(page.queries), f"{page.kilobytes:.0f}")
        lines.append((*line, "" if met else "NO"))
    print_table("Staff pages", f"Goals: p95 < {MAX_P95_MS:.0f} ms, at most {MAX_QUERIES} statements", lines)
    figures = [
        Figure.of_latencies(subject.name, 50, times[subject.name].pages, times[subject.name].routes, "≤", None)
        for subject in subjects
    ]
    return Table("Staff pages against their JSON routes", figures, other_goals_met=is_met)
