"""Idle sockets beyond the threads, with real gunicorn: HTTP is answered all the same."""

from contextlib import ExitStack
from typing import Any

import pytest
import urllib3
from flask import Flask

from shared.infra.db import Conn
from tests.security.sockets import connect
from tests.support.callers import sign_in
from tests.system.test_visits import web

pytestmark = pytest.mark.system

THREADS = 4
UNANSWERED_SECONDS = 3.0


@pytest.mark.parametrize(
    ("config", "is_answered"),
    [("web/gunicorn_conf.py", True), ("tests/security/gunicorn_without_websocket_limit.py", False)],
    ids=["guarded", "negative control"],
)
def test_idle_sockets_beyond_the_threads(
    app: Flask, conn: Conn, monkeypatch: pytest.MonkeyPatch, config: str, is_answered: bool
) -> None:
    player = sign_in(app, conn)
    monkeypatch.setenv("WEB_THREADS", str(THREADS))
    monkeypatch.setenv("MAX_WEBSOCKETS", str(THREADS - 2))
    with web(config) as (port, _), ExitStack() as idle:
        opened: list[Any] = [connect(f"127.0.0.1:{port}", f"/ws/{player.id}", player) for _ in range(THREADS)]
        for socket in filter(None, opened):
            idle.callback(socket.close)
        assert opened.count(None) == (2 if is_answered else 0)
        assert answers(port) is is_answered


def answers(port: int) -> bool:
    try:
        found = urllib3.request("GET", f"http://127.0.0.1:{port}/healthz", timeout=UNANSWERED_SECONDS, retries=False)
    except urllib3.exceptions.HTTPError:
        return False
    return found.status == 200
