"""Two web processes: what one answered 200 to, the other one shows."""

import http.client
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

    def ask(self, method: str, path: str, headers: dict[str, str], body: str | None = None) -> Any:
        """The answer, with its `body` read."""
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=30)
        connection.request(method, path, body, headers | {"Content-Type": "application/json"})
        answer: Any = connection.getresponse()
        answer.body = answer.read()
        connection.close()
        return answer

    def answers(self) -> bool:
        try:
            return bool(self.ask("GET", "/healthz", {}).status == 200)
        except OSError:
            return False


@contextmanager
def web() -> Iterator[Web]:
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
        eventually(Web(port).answers)
        yield Web(port)
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
def webs() -> Iterator[tuple[Web, Web]]:
    with ExitStack() as exits:
        yield exits.enter_context(web()), exits.enter_context(web())


def test_no_process_shows_what_another_has_changed(client: Any, staff: Staff, webs: tuple[Web, Web]) -> None:
    code = client.post(staff.codes, json={"scan_type": "item_drop", "code": "c-0"}, headers=staff.admin.headers).json
    path = f"{staff.codes}/{code['id']}"

    for turn in range(1, 11):
        one, other = webs if turn % 2 else webs[::-1]
        for each in webs:  # whatever either may keep, it has
            assert each.ask("GET", f"{path}/image", staff.member.headers).status == 200
            assert each.ask("GET", f"{staff.path}/stats", staff.analyst.headers).status == 200
        changed = one.ask("PATCH", path, staff.admin.headers, f'{{"code": "c-{turn}"}}')
        assert changed.status == 200
        shown = other.ask("GET", f"{path}/image", staff.member.headers)
        assert decode(shown.body) == (f"https://waymark.example/s/c-{turn}", "M")
        made = one.ask("POST", staff.codes, staff.admin.headers, '{"scan_type": "item_drop"}')
        assert made.status == 201
        stats = other.ask("GET", f"{staff.path}/stats", staff.analyst.headers)
        assert f'"codes": {turn + 1}'.encode() in stats.body or f'"codes":{turn + 1}'.encode() in stats.body


def test_concurrent_misses_in_two_processes_get_one_image(client: Any, staff: Staff, webs: tuple[Web, Web]) -> None:
    path = client.post(staff.codes, json={"scan_type": "item_drop"}, headers=staff.admin.headers).json["image_url"]
    asks = [lambda each=each: each.ask("GET", f"{path}?size=2000", staff.member.headers) for each in webs * 10]

    answers = run_concurrently(asks)

    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
    counts = cache.lookup_counts(staff.org_id) or {}
    assert counts["images", "hit"] + counts["images", "miss"] == len(asks)
