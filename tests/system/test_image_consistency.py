"""Two web processes: a change that one confirmed with 200 is visible in the other."""

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from script.stack.ports import LOOPBACK, free_port
from script.stack.process import Command
from shared.infra import cache
from tests.images.camera_view import decode
from tests.support.callers import Staff
from tests.support.concurrency import run_concurrently
from tests.support.polling import eventually

CHECKOUT = Path(__file__).parents[2]
pytestmark = pytest.mark.system


class Web:
    """One process of the service."""

    def __init__(self, port: int) -> None:
        self.port = port

    def request(self, method: str, path: str, headers: dict[str, str], body: str | None = None) -> Any:
        """Return the response, with its `body` read."""
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=30)
        connection.request(method, path, body, headers | {"Content-Type": "application/json"})
        response: Any = connection.getresponse()
        response.body = response.read()
        connection.close()
        return response

    def is_ready(self) -> bool:
        try:
            return bool(self.request("GET", "/healthz", {}).status == 200)
        except OSError:
            return False


@contextmanager
def start_web() -> Iterator[Web]:
    port = free_port()
    argv = (sys.executable, "-m", "gunicorn", "--config", "web/gunicorn_conf.py", "web.app:create_app()")
    environment = {**os.environ, "PORT": str(port), "PUBLIC_URL": "https://waymark.example"}
    process = subprocess.Popen(
        Command(argv, environment=environment, directory=CHECKOUT).leashed(),
        cwd=CHECKOUT,
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    try:
        eventually(Web(port).is_ready)
        yield Web(port)
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def webs() -> Iterator[tuple[Web, Web]]:
    with ExitStack() as processes:
        yield processes.enter_context(start_web()), processes.enter_context(start_web())


def test_no_process_serves_an_outdated_image(client: Any, staff: Staff, webs: tuple[Web, Web]) -> None:
    code = client.post(staff.codes, json={"scan_type": "item_drop", "code": "c-0"}, headers=staff.admin.headers).json
    path = f"{staff.codes}/{code['id']}"

    for turn in range(1, 11):
        first, second = webs if turn % 2 else webs[::-1]
        # Both processes have everything in their caches.
        for web in webs:
            assert web.request("GET", f"{path}/image", staff.member.headers).status == 200
            assert web.request("GET", f"{staff.path}/stats", staff.analyst.headers).status == 200
        changed = first.request("PATCH", path, staff.admin.headers, f'{{"code": "c-{turn}"}}')
        assert changed.status == 200
        image = second.request("GET", f"{path}/image", staff.member.headers)
        assert decode(image.body) == (f"https://waymark.example/s/c-{turn}", "M")
        created = first.request("POST", staff.codes, staff.admin.headers, '{"scan_type": "item_drop"}')
        assert created.status == 201
        stats = second.request("GET", f"{staff.path}/stats", staff.analyst.headers)
        assert json.loads(stats.body)["codes"] == turn + 1


def test_concurrent_misses_in_two_processes_get_one_image(client: Any, staff: Staff, webs: tuple[Web, Web]) -> None:
    path = client.post(staff.codes, json={"scan_type": "item_drop"}, headers=staff.admin.headers).json["image_url"]
    requests = [lambda web=web: web.request("GET", f"{path}?size=2000", staff.member.headers) for web in webs * 10]

    responses = run_concurrently(requests)

    assert {response.status for response in responses} == {200}
    assert len({response.body for response in responses}) == 1
    counts = cache.lookup_counts(staff.org_id) or {}
    # Hits in the memory of a process are counted some seconds later.
    assert 1 <= counts["images", "miss"] + counts["images", "hit"] <= len(requests)
