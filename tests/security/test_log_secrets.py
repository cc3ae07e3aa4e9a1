"""Secrets pass through a process that logs at level DEBUG. None of them appears in its log."""

import http.client
import json
import secrets
from pathlib import Path
from typing import Any

import pytest

from script.stack.ports import LOOPBACK
from shared.infra.db import Conn
from shared.settings import settings
from tests.support.callers import make_key, make_staff
from tests.support.gunicorn_server import serving
from tests.support.polling import eventually

pytestmark = pytest.mark.system
LOUD = {"LOG_LEVEL": "DEBUG", "LOG_FORMAT": "json"}
LAST = "the-last-request"


def ask(port: int, method: str, path: str, body: Any = None, token: str | None = None, **headers: str) -> str:
    """What the answer says, in its head and in its body."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=60)
    told = headers | {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    raw = body if isinstance(body, str | None) else json.dumps(body)
    connection.request(method, path, raw, told)
    answer = connection.getresponse()
    said = f"{answer.status} {answer.headers}{answer.read().decode()}"
    connection.close()
    return said


def logged(log: Path, port: int) -> str:
    """All that was logged up to now."""
    ask(port, "GET", "/healthz", **{"X-Request-ID": LAST})
    return eventually(lambda: text if LAST in (text := log.read_text()) else "")


def test_no_secret_is_logged_or_returned(tmp_path: Path, app: Any, conn: Conn) -> None:
    staff = make_staff(app, conn)
    key = make_key(conn, staff.org_id, "codes:read").headers["Authorization"].removeprefix("Bearer ")
    made_up = secrets.token_urlsafe(24)
    password, ticket, signature, name = (f"{what}-{made_up}" for what in ("password", "ticket", "signature", "name"))
    bodies: list[Any] = [
        {"username": "somebody", "password": password},
        {"username": "somebody", "password": password, "role": password},
        {"username": ["somebody"], "password": {"in": password}},
        f'{{"username": "somebody", "password": "{password}"',
        f'{{"password": "{password}\\ud800"}}',
        {"username": "somebody", "password": password * 100},
    ]
    with serving(tmp_path / "log", **LOUD) as port:
        said = [ask(port, "POST", path, body) for path in ("/auth/register", "/auth/login") for body in bodies]
        latin = f"é{made_up}".encode().decode("latin-1")
        for token in (staff.admin.access_token, staff.admin.refresh_token, key, f"wm_{made_up}", made_up, latin):
            said += [
                ask(port, "GET", path, token=token) for path in ("/users/me", staff.codes, f"/ws/{staff.admin.id}")
            ]
        said += [
            ask(port, "GET", f"/ws/{staff.admin.id}?ticket={ticket}"),
            ask(port, "GET", f"{staff.path}/renders/{staff.org_id}/download?signature={signature}&expires=1"),
            ask(port, "GET", "/users/me", Cookie=name, **{"X-Api-Key": name, "Proxy-Authorization": name}),
            ask(port, "POST", "/scan", {"player_id": name, "qr_code": 5}, staff.admin.access_token),
        ]
        log = logged(tmp_path / "log", port)
    hidden = {
        "what was made up": made_up,
        "the access token": staff.admin.access_token,
        "the refresh token": staff.admin.refresh_token,
        "the API key": key,
        "JWT_SECRET": settings().jwt_secret.get_secret_value(),
    }

    assert log.count('"request_finished"') >= len(said)
    assert [what for what, secret in hidden.items() if secret in log] == []
    hidden.pop(
        "what was made up"
    )  # an answer may name the field that is wrong, and what is in it comes from the client
    assert [what for what, secret in hidden.items() if any(secret in each for each in said)] == []
    assert not any(password in each or ticket in each or signature in each for each in said)


def test_unavailable_stores_do_not_reveal_their_passwords(tmp_path: Path) -> None:
    password = secrets.token_urlsafe(24)
    away = {
        "DATABASE_URL": f"postgresql://waymark:{password}@{LOOPBACK}:9/waymark",
        "REDIS_URL": f"redis://:{password}@{LOOPBACK}:9/0",
    }
    with serving(tmp_path / "log", **LOUD, **away, RATE_LIMITS_ENABLED="true") as port:
        said = [ask(port, "GET", "/s/spy123")]
        log = logged(tmp_path / "log", port)

    assert all(each.startswith("503 ") for each in said)
    assert "store_unavailable" in log
    assert password not in log + "".join(said)
