"""Scans that a machine hands in with an API key: for any player, of its own organization's codes only."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask import Flask

from shared.infra.db import Conn
from shared.organizations import api_keys
from shared.scans.rules import Coordinates
from tests.scans.test_travel import SYDNEY
from tests.support.callers import ApiKeyCaller, SignedInPlayer, Staff, make_key, sign_in
from tests.support.factories import AMSTERDAM, LISBON, make_code, make_player
from workers.scans import judge_pending


@pytest.fixture
def kiosk(conn: Conn, staff: Staff) -> ApiKeyCaller:
    return make_key(conn, staff.org_id, "scan")


@pytest.fixture
def ada(app: Flask, conn: Conn) -> SignedInPlayer:
    return sign_in(app, conn)


def scan(client: Any, by: ApiKeyCaller | SignedInPlayer, player_id: UUID, **fields: Any) -> Any:
    return client.post("/scan", json={"player_id": str(player_id), "qr_code": "spy123"} | fields, headers=by.headers)


def test_it_scans_for_any_player_and_reads_the_verdict(
    client: Any, conn: Conn, staff: Staff, kiosk: ApiKeyCaller, ada: SignedInPlayer
) -> None:
    make_code(conn, staff.org_id, code="spy123")

    accepted = scan(client, kiosk, ada.id)
    judge_pending()

    assert accepted.status_code == 202
    for reader in (kiosk, ada, staff.analyst):
        told = client.get(accepted.json["result_url"], headers=reader.headers)
        assert (told.status_code, told.json["status"], told.json["player_id"]) == (200, "success", str(ada.id))
    for reader in (make_key(conn, staff.org_id), sign_in(client.application, conn)):
        assert client.get(accepted.json["result_url"], headers=reader.headers).status_code == 404
    assert conn.execute("SELECT api_key_id FROM player_scans").fetchone() == (kiosk.id,)


def test_a_player_that_there_is_not(client: Any, conn: Conn, kiosk: ApiKeyCaller) -> None:
    answer = scan(client, kiosk, uuid4())

    assert (answer.status_code, answer.json["detail"]) == (404, "There is no such player.")
    assert conn.execute("SELECT count(*) FROM player_scans").fetchone() == (0,)
    assert conn.execute("SELECT count(*) FROM events").fetchone() == (0,)


def test_a_code_of_another_organization_is_as_unknown_as_none(
    client: Any, conn: Conn, kiosk: ApiKeyCaller, ada: SignedInPlayer
) -> None:
    make_code(conn, code="theirs")
    told = []
    for code in ("theirs", "nobodys"):
        accepted = scan(client, kiosk, ada.id, qr_code=code)
        judge_pending()
        answer = client.get(accepted.json["result_url"], headers=kiosk.headers).json
        told.append({k: v for k, v in answer.items() if k not in ("scan_id", "qr_code") and "_at" not in k})

    assert told[0] == told[1]
    assert told[0]["reason"] == "unknown_code"
    assert conn.execute("SELECT DISTINCT org_id FROM events").fetchall() == [(None,)]
    own = scan(client, ada, ada.id, qr_code="theirs")
    judge_pending()
    assert client.get(own.json["result_url"], headers=ada.headers).json["status"] == "success"


def test_a_scan_of_the_player_themself_is_not_the_keys_to_read(
    client: Any, conn: Conn, staff: Staff, kiosk: ApiKeyCaller, ada: SignedInPlayer
) -> None:
    make_code(conn, staff.org_id, code="spy123")
    accepted = scan(client, ada, ada.id)

    assert client.get(accepted.json["result_url"], headers=kiosk.headers).status_code == 404


def test_the_same_nonce_is_the_same_scan_for_whoever_may_read_it(
    client: Any, conn: Conn, staff: Staff, kiosk: ApiKeyCaller, ada: SignedInPlayer
) -> None:
    make_code(conn, staff.org_id, code="spy123")
    first = scan(client, kiosk, ada.id, nonce="n1")

    assert scan(client, kiosk, ada.id, nonce="n1").json == first.json
    assert scan(client, ada, ada.id, nonce="n1").json == first.json
    assert scan(client, kiosk, ada.id, nonce="n1", qr_code="other").status_code == 409
    assert scan(client, make_key(conn, staff.org_id), ada.id, nonce="n1").status_code == 409
    assert scan(client, kiosk, make_player(conn), nonce="n1").status_code == 202  # per player, as ever


def test_a_key_that_was_revoked_leaves_its_scans(
    client: Any, conn: Conn, staff: Staff, kiosk: ApiKeyCaller, ada: SignedInPlayer
) -> None:
    make_code(conn, staff.org_id, code="spy123")
    accepted = scan(client, kiosk, ada.id)
    api_keys.revoke(conn, staff.org_id, kiosk.id)
    judge_pending()

    assert scan(client, kiosk, ada.id).status_code == 401
    assert client.get(accepted.json["result_url"], headers=kiosk.headers).status_code == 401
    assert client.get(accepted.json["result_url"], headers=ada.headers).json["status"] == "success"


def test_without_the_scope_it_scans_nothing(client: Any, conn: Conn, staff: Staff, ada: SignedInPlayer) -> None:
    reader = make_key(conn, staff.org_id, "codes:read", "codes:write", "renders", "analytics")

    assert scan(client, reader, ada.id).status_code == 403
    assert conn.execute("SELECT count(*) FROM player_scans").fetchone() == (0,)


def at(place: Coordinates, **when: Any) -> dict[str, Any]:
    told = {"latitude": place.latitude, "longitude": place.longitude}
    return told | {"scanned_at": (datetime.now(UTC) - timedelta(**when)).isoformat()}


@pytest.mark.parametrize("one_batch", [True, False], ids=["one batch", "one by one"])
@pytest.mark.parametrize("hours", [0, 30], ids=["live", "late"])
def test_a_key_neither_learns_where_a_player_is_nor_has_their_next_scan_held(
    client: Any, conn: Conn, kiosk: ApiKeyCaller, staff: Staff, ada: SignedInPlayer, one_batch: bool, hours: int
) -> None:
    """Anybody may found an organization, put a code anywhere and hand in scans of it for whom they like."""
    make_code(conn, staff.org_id, code="trap", per_player_limit=None)
    make_code(conn, code="real", per_player_limit=None)
    scans: list[tuple[ApiKeyCaller | SignedInPlayer, str, Coordinates]] = [
        (ada, "real", AMSTERDAM),
        (kiosk, "trap", SYDNEY),
        (ada, "real", AMSTERDAM),
        (kiosk, "trap", LISBON),
    ]
    told = []
    for seconds, (by, code, place) in enumerate(scans):
        fields = at(place, hours=hours, seconds=40 - 10 * seconds)
        told.append((by, scan(client, by, ada.id, qr_code=code, **fields).json["result_url"]))
        if not one_batch:
            judge_pending()
    judge_pending()

    verdicts = [client.get(url, headers=by.headers).json["status"] for by, url in told]
    assert verdicts == ["success", "success", "success", "held"]  # the last: from Sydney, by its own hand
