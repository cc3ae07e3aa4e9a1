"""A web process loads what only workers need at no request that workers have prepared, and starts without it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from script.stack.running_server import CHECKOUT
from shared.infra.db import Conn
from shared.quests import catalog_client, definitions, grpc_channel, yaml_loader
from shared.settings import settings
from tests.generated_codes.factories import ask as ask_for_image
from tests.renders.factories import add_render, make_codes, work
from tests.support.callers import Staff
from workers import generated_codes
from workers.catalog_server import make_server

HEAVY = {
    *("zxingcpp", "segno", "numpy", "PIL", "isal", "zlib_ng", "reportlab", "pypdfium2", "resvg_py"),
    *("grpc", "google", "yaml", "boto3", "crawleruseragents", "ua_parser"),
    *("workers", "apscheduler", "alembic"),
}
"""Modules that a web process needs for no common request: renderers, clients of other services, lists of crawlers."""

PROGRAM = """
import json
import sys
from web.app import create_app

client = create_app().test_client()
for method, path, status, options in json.load(sys.stdin):
    response = client.open(path, method=method, **options)
    assert response.status_code == status, (path, response.text)
    print("loaded:", *{name.partition(".")[0] for name in sys.modules})
"""

LOADED = "loaded:"

Request = tuple[str, str, int, dict[str, Any]]


def loaded_after(requests: list[Request]) -> list[set[str]]:
    """Serve the requests in a new process. Return the top-level modules it has loaded after each."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps(requests),
        cwd=CHECKOUT,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return [set(line.removeprefix(LOADED).split()) for line in done.stdout.splitlines() if line.startswith(LOADED)]


@contextmanager
def unknown_code(_conn: Conn, _staff: Staff, _client: Any) -> Iterator[list[Request]]:
    yield [("GET", "/s/unknown", 404, {})]


@contextmanager
def ready_image(conn: Conn, _staff: Staff, _client: Any) -> Iterator[list[Request]]:
    code_id = ask_for_image(conn)
    generated_codes.render_pending()
    yield [("GET", f"/retrieve/{code_id}", 200, {}), ("GET", f"/retrieve/{code_id}/image", 200, {})]


@contextmanager
def label_sheet(conn: Conn, staff: Staff, client: Any) -> Iterator[list[Request]]:
    render_id = add_render(conn, staff.org_id, make_codes(conn, staff.org_id, 2))
    work()
    body = {"all": True, "output": "label_sheet"}
    renders = f"{staff.path}/renders"
    download_url = client.get(f"{renders}/{render_id}", headers=staff.admin.headers).json["download_url"]
    yield [
        ("POST", renders, 202, {"json": body, "headers": staff.admin.headers}),
        ("GET", f"{renders}/{render_id}", 200, {"headers": staff.admin.headers}),
        ("GET", download_url, 200, {}),
    ]


@contextmanager
def csv_files(_conn: Conn, staff: Staff, _client: Any) -> Iterator[list[Request]]:
    headers = staff.admin.headers

    def csv(rows: int) -> dict[str, Any]:
        return {"data": "scan_type\n" + "item_drop\n" * rows, "headers": headers, "content_type": "text/csv"}

    yield [
        ("POST", f"{staff.codes}/import", 201, csv(2)),
        ("POST", f"{staff.codes}/import", 202, csv(1_002)),
        ("POST", f"{staff.codes}/bulk", 201, {"json": {"codes": [{"scan_type": "item_drop"}]}, "headers": headers}),
        ("GET", f"{staff.codes}/export", 200, {"headers": headers}),
    ]


def start_over() -> None:
    """Drop the settings, the channel and the quests that this process has cached."""
    settings.cache_clear()
    grpc_channel.stub.reset()
    catalog_client.clear_cache()


@contextmanager
def cached_quest(conn: Conn, staff: Staff, _client: Any) -> Iterator[list[Request]]:
    for definition in yaml_loader.parse(yaml_loader.DEFAULT_QUESTS.read_text()):
        definitions.save(conn, definition)
    server, _, port = make_server("127.0.0.1:0")
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRPC_SERVER_URL", f"127.0.0.1:{port}")
        patch.setenv("GRPC_DEADLINE_SECONDS", "10")
        start_over()
        catalog_client.get_quest("sign-in-three-times")
        claim = {"json": {"quest_name": "sign-in-three-times"}, "headers": staff.member.headers}
        yield [
            *[("POST", "/api/v1/track/signin", 200, {"headers": staff.member.headers})] * 3,
            ("POST", "/api/v1/track/claim_reward", 200, claim),
        ]
    start_over()
    server.stop(None).wait()


def test_web_serves_prepared_work_without_heavy_modules(conn: Conn, staff: Staff, client: Any) -> None:
    with ExitStack() as prepared:
        requests = [
            request
            for prepare in (unknown_code, ready_image, label_sheet, csv_files, cached_quest)
            for request in prepared.enter_context(prepare(conn, staff, client))
        ]
        loaded = loaded_after(requests)

    assert all("flask" in modules for modules in loaded)
    heavy = {f"{method} {path}": modules & HEAVY for (method, path, *_), modules in zip(requests, loaded, strict=True)}
    assert {request: modules for request, modules in heavy.items() if modules} == {}
