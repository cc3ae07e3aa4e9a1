"""A hundred thousand hostile requests against real processes: no 5xx, no leak, no growth, no restart.

script/test --long tests/security/test_fuzz.py -s            # FUZZ_REQUESTS=5000 FUZZ_SEED=7 for fewer, or others
"""

import json
import os
from collections.abc import Iterator
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest
from flask import Flask

from script.stack import RunningServer, running_server
from tests.security.fuzzing import Fuzz
from tests.security.hostile_requests import World
from tests.support.callers import Staff, make_key, make_staff
from tests.support.factories import make_code, make_encounter, make_held_scan
from tests.system.load import Load, Scan
from tests.system.processes import log_lines

pytestmark = [pytest.mark.long, pytest.mark.system]

REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "100000"))
SEED = int(os.environ.get("FUZZ_SEED", "6"))
MIB = 2**20
MEMORY_GROWS_BY = 96 * MIB
"""Over what a web process has after the first tenth: caches fill, and the allocator keeps what it once had."""
ENDING = {("DELETE", "/users/me"), ("POST", "/auth/logout"), ("POST", "/users/me/password"), ("POST", "/auth/refresh")}
"""Would end the logins that the others are made with."""
ENVIRONMENT = {"LOG_FORMAT": "json", "LOG_LEVEL": "WARNING", "RATE_LIMITS_ENABLED": "false"}


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with running_server(env=ENVIRONMENT) as running:
        yield running


def make_world(server: RunningServer, app: Flask, load: Load) -> tuple[World, Staff]:
    """Two organizations with something of everything, and credentials of every kind."""
    with psycopg.connect(server.urls["DATABASE_URL"], autocommit=True) as conn:
        ours, theirs = make_staff(app, conn), make_staff(app, conn)
        codes = [make_code(conn, staff.org_id) for staff in (ours, ours, theirs)]
        puzzle = make_encounter(conn, make_code(conn, ours.org_id, scan_type="encounter"))
        held = [make_held_scan(conn, ours.member.id, codes[0]) for _ in range(3)]
        keys = {f"key {n}": make_key(conn, staff.org_id).text for n, staff in enumerate((ours, theirs))}
    render = json.loads(load.ask("POST", f"{ours.path}/renders", ours.owner, {"all": True}).data)["render_id"]
    made = load.make("/generate", ours.owner, {"data": "https://a.example"})["qr_id"]
    imported = load.make(f"{ours.codes}/bulk", ours.owner, {"codes": []})["id"]
    spec = json.loads(load.ask("GET", "/openapi.json").data)
    operations = [
        (method.upper(), path)
        for path, methods in spec["paths"].items()
        for method in methods
        if method in ("get", "post", "put", "patch", "delete") and (method.upper(), path) not in ENDING
    ]
    people = {role: ours[role].access_token for role in ("owner", "admin", "analyst", "member", "stranger")}
    ids = {
        "org_id": (str(ours.org_id), str(ours.org_id), str(theirs.org_id)),
        "player_id": (str(ours.owner.id), str(ours.member.id), str(theirs.owner.id)),
        "qr_id": (*map(str, codes), made),
        "scan_id": tuple(map(str, held)),
        "encounter_id": (str(puzzle),),
        "render_id": (render,),
        "import_id": (imported,),
        "code": ("spy123", "nobody"),
        "slug": ("museum", "nobody"),
    }
    return World(operations, people | keys | {"other owner": theirs.owner.access_token}, ids), ours


def memory(server: RunningServer) -> int:
    return max(psutil.Process(pid).memory_info().rss for pid in server.pids("web"))


def test_hostile_requests(server: RunningServer, app: Flask) -> None:
    load = Load(server.base_url)
    world, staff = make_world(server, app, load)
    url = urlsplit(server.base_url)
    print(f"\n{REQUESTS:,} requests, seed {SEED}")
    fuzz = Fuzz((str(url.hostname), int(url.port or 80)), world, SEED)
    before = server.pids("web")

    fuzz.run(REQUESTS // 10)
    warm = memory(server)
    fuzz.run(REQUESTS - REQUESTS // 10)
    after = memory(server)

    print(f"{dict(sorted(fuzz.statuses.items()))}, hung up on: {fuzz.hung_up}")
    print(f"memory of the largest web process: {warm / MIB:.0f} MiB after a tenth, {after / MIB:.0f} MiB at the end")
    assert not fuzz.found, "\n".join(fuzz.found)
    assert [line for line in log_lines(server) if line["event"] == "unhandled_exception"] == []
    assert server.pids("web") == before, "a web process was started anew"
    assert after - warm < MEMORY_GROWS_BY
    assert fuzz.statuses.total() + fuzz.hung_up >= REQUESTS - 8
    assert load.ask("GET", "/readyz").status == 200
    scan = Scan(staff.stranger, "nobody")
    assert load.ask("POST", "/scan", scan.player, scan.body(), Prefer="wait=10").status == 200
