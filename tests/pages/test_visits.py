"""Opened codes: redirects and pages, each visit counted once, and no stock used by bots."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from uuid import UUID

import psycopg
import pytest

from shared.infra import db
from shared.infra.db import Conn
from shared.visits import store, visit_buffer
from shared.visits.visit_buffer import VisitBuffer
from tests.support.concurrency import run_concurrently
from tests.support.factories import code_text, make_code
from web.pages import visits as web_visits

PHONE = "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 Chrome/140.0 Mobile Safari/537.36"
CRAWLER = "WhatsApp/2.23.20.0"
TARGET = "https://museum.example/visit?from=code"
EVIL = """<script>alert(1)</script>"'&"""


@pytest.fixture
def visit_log(monkeypatch: pytest.MonkeyPatch) -> VisitBuffer:
    """Return a buffer that stores only when it is flushed."""
    fresh = VisitBuffer()
    monkeypatch.setattr(web_visits, "visit_buffer", fresh)
    return fresh


@pytest.fixture
def open_code(client: Any, conn: Conn, visit_log: VisitBuffer) -> Callable[..., Any]:
    def get(code: UUID | str, method: str = "GET", user_agent: str = PHONE, **headers: str) -> Any:
        text = code if isinstance(code, str) else code_text(conn, code)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return client.open(f"/s/{text}", method=method, headers={"User-Agent": user_agent} | named)

    return get


def poster(conn: Conn, **fields: Any) -> UUID:
    """A code that only redirects."""
    return make_code(
        conn, **{"scan_type": None, "reward_item": None, "reward_quantity": None, "target_url": TARGET} | fields
    )


def stored(conn: Conn) -> list[Any]:
    return conn.execute("SELECT qr_code_id, device FROM visits ORDER BY id").fetchall()


def taken(conn: Conn, code: UUID) -> int:
    row = conn.execute("SELECT use_count FROM qr_codes WHERE id = %s", (code,)).fetchone()
    assert row is not None
    return int(row[0])


def test_redirecting_code_redirects_and_is_counted(conn: Conn, open_code: Any, visit_log: VisitBuffer) -> None:
    code = poster(conn)

    response = open_code(code)

    assert (response.status_code, response.headers["Location"]) == (302, TARGET)
    assert response.headers["Cache-Control"] == "no-store"
    assert stored(conn) == []
    assert visit_log.flush()
    assert stored(conn) == [(code, "phone")]
    assert taken(conn, code) == 1


def test_game_code_shows_a_page(conn: Conn, open_code: Any, visit_log: VisitBuffer) -> None:
    code = make_code(conn, description=EVIL)

    response = open_code(code)

    assert response.status_code == 200
    assert "&lt;script&gt;" in response.text
    assert "<script>" not in response.text
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    visit_log.flush()
    assert stored(conn) == [(code, "phone")]
    assert taken(conn, code) == 0


@pytest.mark.parametrize(
    ("fields", "status", "word"),
    [
        ({"expires_at": "2026-01-01T00:00Z"}, 410, "no longer available"),
        ({"active": False}, 410, "no longer available"),
        ({"max_scans": 3, "use_count": 3}, 410, "no longer available"),
        ({"starts_at": "2999-01-01T00:00Z"}, 404, "open yet"),
        ({"deleted_at": "2026-01-01T00:00Z"}, 410, "no longer in use"),
        ({"target_url": "https://museum.example@evil.example/"}, 404, "recognize this code"),
        ({"target_url": "https:\\\\evil.example"}, 404, "recognize this code"),
    ],
)
def test_unavailable_code_shows_the_reason(
    conn: Conn, open_code: Any, visit_log: VisitBuffer, fields: dict[str, Any], status: int, word: str
) -> None:
    if "target_url" in fields:
        conn.execute("ALTER TABLE qr_codes DROP CONSTRAINT qr_codes_target_url_check")
    try:
        poster(conn, code="poster", **fields)
        response = open_code("poster")
    finally:
        if "target_url" in fields:
            conn.execute("TRUNCATE qr_codes CASCADE")
            conn.execute(
                "ALTER TABLE qr_codes ADD CONSTRAINT qr_codes_target_url_check CHECK (target_url ~* '^https?://')"
            )

    assert response.status_code == status
    assert word in response.text
    assert response.content_type == "text/html; charset=utf-8"
    visit_log.flush()
    assert stored(conn) == []


@pytest.mark.parametrize("text", ["nobody", "ab", "x" * 65, "a b c", "%00%00%00", "%ff%fe%fd", "'; DROP TABLE visits"])
def test_unknown_code_is_404(open_code: Any, text: str) -> None:
    assert open_code(text).status_code == 404


@pytest.mark.parametrize(
    "target", ["//evil.example", "\\\\evil.example", "javascript:alert(1)", "https://a@evil.example"]
)
def test_unsafe_target_url_is_422(client: Any, staff: Any, target: str) -> None:
    refused = client.post(staff.codes, json={"scan_type": None, "target_url": target}, headers=staff.admin.headers)
    assert refused.status_code == 422
    assert refused.json["errors"][0]["loc"] == "body.target_url"


MACHINES: list[dict[str, str]] = [
    {"user_agent": CRAWLER},
    {"method": "HEAD"},
    {"Sec_Purpose": "prefetch"},
    {"Purpose": "prefetch"},
]


@pytest.mark.parametrize("request_", MACHINES, ids=str)
@pytest.mark.parametrize("max_scans", [None, 1])
def test_bots_are_redirected_counted_apart_and_use_no_stock(
    conn: Conn, open_code: Any, visit_log: VisitBuffer, request_: dict[str, str], max_scans: int | None
) -> None:
    code = poster(conn, max_scans=max_scans)

    for _ in range(3):
        assert open_code(code, **request_).status_code == 302

    visit_log.flush()
    assert stored(conn) == [(code, "bot")] * 3
    assert taken(conn, code) == 0


def test_concurrent_visits_use_exactly_the_stock(conn: Conn, app: Any, visit_log: VisitBuffer) -> None:
    """Forty concurrent visitors, of whom ten are redirected."""
    code = poster(conn, max_scans=10)
    ask = partial(app.test_client().get, f"/s/{code_text(conn, code)}", headers={"User-Agent": PHONE})

    statuses = [response.status_code for response in run_concurrently([ask] * 40)]

    assert (statuses.count(302), statuses.count(410)) == (10, 30)
    visit_log.flush()
    assert len(stored(conn)) == 10
    assert taken(conn, code) == 10


def test_stock_negative_control_without_reservation(
    conn: Conn, app: Any, visit_log: VisitBuffer, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = poster(conn, max_scans=10)
    monkeypatch.setattr(store, "use_stock", lambda *_: True)
    ask = partial(app.test_client().get, f"/s/{code_text(conn, code)}", headers={"User-Agent": PHONE})

    statuses = [response.status_code for response in run_concurrently([ask] * 40)]

    assert statuses.count(302) > 10


def test_stock_set_later_counts_earlier_visits(conn: Conn, open_code: Any, visit_log: VisitBuffer) -> None:
    code = poster(conn)
    for _ in range(3):
        open_code(code)
    visit_log.flush()
    conn.execute("UPDATE qr_codes SET max_scans = 4")

    assert [open_code(code).status_code for _ in range(2)] == [302, 410]


def test_visits_are_buffered_while_postgresql_is_unavailable(
    conn: Conn, open_code: Any, visit_log: VisitBuffer, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = poster(conn)
    open_code(code)

    def unavailable(*_: Any) -> None:
        raise psycopg.OperationalError("connection refused")

    with monkeypatch.context() as broken:
        broken.setattr(store, "add", unavailable)
        assert not visit_log.flush()
    open_code(code)

    visit_log.close()
    assert stored(conn) == [(code, "phone")] * 2


def test_failed_flush_stores_no_visit_twice(
    conn: Conn, open_code: Any, visit_log: VisitBuffer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The visits are inserted, but the stock is not. Both are rolled back, and repeated."""
    code = poster(conn)
    open_code(code)
    conn.execute("ALTER TABLE qr_codes ADD CONSTRAINT spoiled CHECK (use_count < 1)")
    with pytest.raises(psycopg.errors.CheckViolation):
        visit_log.flush()
    conn.execute("ALTER TABLE qr_codes DROP CONSTRAINT spoiled")
    assert stored(conn) == []

    visit_log.flush()

    assert (stored(conn), taken(conn, code)) == ([(code, "phone")], 1)


@contextmanager
def unheard() -> Iterator[Conn]:
    """A connection that breaks after the commit, before its confirmation arrives."""
    with db.pool().connection() as conn:
        yield conn
    raise psycopg.OperationalError("server closed the connection unexpectedly")


def test_flush_with_a_lost_confirmation_is_not_repeated(
    conn: Conn, open_code: Any, visit_log: VisitBuffer, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = poster(conn)
    open_code(code)
    with monkeypatch.context() as broken:
        broken.setattr(db, "connection", unheard)
        assert not visit_log.flush()
    open_code(code)

    assert visit_log.flush()

    assert (stored(conn), taken(conn, code)) == ([(code, "phone")] * 2, 2)


def test_flush_that_fails_before_its_commit_is_repeated(
    conn: Conn, open_code: Any, visit_log: VisitBuffer, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = poster(conn)
    open_code(code)
    add = store.add

    def killed(own: Conn, visits: Any) -> str:
        xid = add(own, visits)
        conn.execute("SELECT pg_terminate_backend(%s, 5000)", (own.info.backend_pid,))
        return xid

    with monkeypatch.context() as broken:
        broken.setattr(store, "add", killed)
        assert not visit_log.flush()

    assert visit_log.flush()

    assert (stored(conn), taken(conn, code)) == ([(code, "phone")], 1)


def test_a_server_that_never_came_that_far_has_stored_nothing(conn: Conn) -> None:
    assert not store.is_stored(conn, str(2**40))


def test_buffer_is_bounded(conn: Conn, open_code: Any, visit_log: VisitBuffer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visit_buffer, "MAX_BUFFERED", 3)
    code = poster(conn)
    assert [open_code(code).status_code for _ in range(5)] == [302] * 5
    visit_log.flush()
    assert len(stored(conn)) == 3


def test_concurrent_flushes_store_each_visit_once(conn: Conn, open_code: Any, visit_log: VisitBuffer) -> None:
    code = poster(conn)
    for _ in range(20):
        open_code(code)
    run_concurrently([visit_log.flush] * 4)
    assert len(stored(conn)) == 20
    assert taken(conn, code) == 20


def test_no_user_agent_is_stored_anywhere(conn: Conn, open_code: Any, visit_log: VisitBuffer) -> None:
    open_code(poster(conn), user_agent="Mozilla/5.0 (iPhone) Unmistakable/1")
    visit_log.flush()
    rows = conn.execute("SELECT to_jsonb(v)::text FROM visits v").fetchall()
    assert rows
    assert "Unmistakable" not in str(rows)


def test_scan_stores_its_device(client: Any, conn: Conn, player: Any) -> None:
    client.post(
        "/scan",
        json={"player_id": str(player.id), "qr_code": "spy123"},
        headers=player.headers | {"User-Agent": PHONE},
    )
    with db.connection() as other:
        assert other.execute("SELECT device FROM player_scans").fetchall() == [("phone",)]
