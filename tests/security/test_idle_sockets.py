"""Idle sockets beyond the limit, with real gunicorn: HTTP is answered all the same."""

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

LIMIT, SOCKETS = 2, 4
UNANSWERED_SECONDS = 3.0


@pytest.mark.parametrize(
    ("config", "rejected"),
    [("web/gunicorn_conf.py", SOCKETS - LIMIT), ("tests/security/gunicorn_without_websocket_limit.py", 0)],
    ids=["guarded", "negative control"],
)
def test_idle_sockets_beyond_the_limit(
    app: Flask, conn: Conn, monkeypatch: pytest.MonkeyPatch, config: str, rejected: int
) -> None:
    player = sign_in(app, conn)
    monkeypatch.setenv("MAX_WEBSOCKETS", str(LIMIT))
    with web(config) as (port, _), ExitStack() as idle:
        opened: list[Any] = [connect(f"127.0.0.1:{port}", f"/ws/{player.id}", player) for _ in range(SOCKETS)]
        for socket in filter(None, opened):
            idle.callback(socket.close)
        assert opened.count(None) == rejected
        assert answers(port)


def answers(port: int) -> bool:
    try:
        found = urllib3.request("GET", f"http://127.0.0.1:{port}/healthz", timeout=UNANSWERED_SECONDS, retries=False)
    except urllib3.exceptions.HTTPError:
        return False
    return found.status == 200
