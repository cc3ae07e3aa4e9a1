"""A verdict that a worker sends equals the stored one, and a web process reads only those of its clients."""

from typing import Any
from uuid import UUID

import pytest

from shared.infra.db import Conn
from shared.organizations import api_keys
from shared.scans import store, verdict_messages
from shared.scans.store import NewScan
from tests.support.callers import make_key
from tests.support.factories import AMSTERDAM, LISBON, make_code, make_encounter, make_org, make_player
from web.realtime.verdict_waiters import VerdictWaiters
from workers import scans as worker


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Collect what workers publish."""
    sent: list[bytes] = []
    monkeypatch.setattr(worker, "publish_verdicts", sent.append)
    return sent


def test_sent_verdicts_equal_the_stored_ones(conn: Conn, sent: list[bytes]) -> None:
    org, player = make_org(conn), make_player(conn)
    codes: dict[str, dict[str, Any]] = {
        "drop": {},
        "puzzle": {"scan_type": "encounter"},
        "ferry": {"scan_type": "transportation", "destination_code": "drop"},
        "far": {"coordinates": LISBON},
    }
    for code, fields in codes.items():
        code_id = make_code(conn, org, code=code, **fields)
        if code == "puzzle":
            make_encounter(conn, code_id)
    ids = [store.accept(conn, NewScan(player, code, AMSTERDAM), request_id="r-1") for code in (*codes, "no\nsuch code")]
    key = api_keys.authenticate(conn, make_key(conn, org, "scan").text)
    ids.append(store.accept(conn, NewScan(player, "drop"), key=key))

    worker.judge_pending()

    settled = [scan for message in sent for _, scan in verdict_messages.decode(message, lambda _: True) if scan]
    assert sorted(settled, key=lambda scan: scan.scan_id) == [store.find(conn, scan_id) for scan_id in sorted(ids)]
    assert {scan.status for scan in settled} == {"success", "failure"}


def test_scans_of_other_processes_are_not_read(conn: Conn, sent: list[bytes]) -> None:
    player, code = make_player(conn), make_code(conn, code="drop")
    ids = [store.accept(conn, NewScan(player, "drop")) for _ in range(3)]
    assert isinstance(code, UUID)
    worker.judge_pending()
    assert [scan_id for scan_id, _ in verdict_messages.decode(sent[0], lambda scan_id: scan_id == ids[1])] == [ids[1]]


def test_large_verdict_is_sent_without_its_content(conn: Conn, sent: list[bytes]) -> None:
    """One puzzle of a megabyte would fill the buffer of every subscriber."""
    code_id = make_code(conn, code="puzzle", scan_type="encounter")
    make_encounter(conn, code_id)
    conn.execute("UPDATE encounters SET data = jsonb_build_object('text', repeat('x', 1000000))")
    scan_id = store.accept(conn, NewScan(make_player(conn), "puzzle"))
    worker.judge_pending()
    assert len(sent[0]) <= verdict_messages.MAX_LINE_BYTES
    waits = VerdictWaiters(1)
    with waits.register(scan_id, 10) as wait:
        waits.deliver(verdict_messages.decode(sent[0], waits.is_awaited))
        assert wait is not None
        assert wait()
        assert wait.scan is None  # so the request reads PostgreSQL
