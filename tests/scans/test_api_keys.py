"""Scans that an API key submits: for any player, of codes of its own organization only."""

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


def scan(client: Any, submitter: ApiKeyCaller | SignedInPlayer, player_id: UUID, **fields: Any) -> Any:
    body = {"player_id": str(player_id), "qr_code": "spy123"} | fields
    return client.post("/scan", json=body, headers=submitter.headers)


def test_key_submits_for_any_player_and_reads_the_verdict(
    client: Any, conn: Conn, staff: Staff, kiosk: ApiKeyCaller, ada: SignedInPlayer
) -> None:
    make_code(conn, staff.org_id, code="spy123")

    accepted = scan(client, kiosk, ada.id)
    judge_pending()

    assert accepted.status_code == 202
    for reader in (kiosk, ada, staff.analyst):
        response = client.get(accepted.json["result_url"], headers=reader.headers)
        verdict = response.json
        assert (response.status_code, verdict["status"], verdict["player_id"]) == (200, "success", str(ada.id))
    for reader in (make_key(conn, staff.org_id), sign_in(client.application, conn)):
        assert client.get(accepted.json["result_url"], headers=reader.headers).status_code == 404
    assert conn.execute("SELECT api_key_id FROM player_scans").fetchone() == (kiosk.id,)


def test_scan_for_an_unknown_player_is_404(client: Any, conn: Conn, kiosk: ApiKeyCaller) -> None:
    response = scan(client, kiosk, uuid4())

    assert (response.status_code, response.json["detail"]) == (404, "This player does not exist.")
    assert conn.execute("SELECT count(*) FROM player_scans").fetchone() == (0,)
    assert conn.execute("SELECT count(*) FROM events").fetchone() == (0,)


def test_code_of_another_organization_reads_like_an_unknown_one(
    client: Any, conn: Conn, kiosk: ApiKeyCaller, ada: SignedInPlayer
) -> None:
    make_code(conn, code="foreign")
    verdicts = []
    for code in ("foreign", "unknown"):
        accepted = scan(client, kiosk, ada.id, qr_code=code)
        judge_pending()
        verdict = client.get(accepted.json["result_url"], headers=kiosk.headers).json
        verdicts.append({k: v for k, v in verdict.items() if k not in ("scan_id", "qr_code") and "_at" not in k})

    assert verdicts[0] == verdicts[1]
    assert verdicts[0]["reason"] == "unknown_code"
    assert conn.execute("SELECT DISTINCT org_id FROM events").fetchall() == [(None,)]
    own = scan(client, ada, ada.id, qr_code="foreign")
    judge_pending()
    assert client.get(own.json["result_url"], headers=ada.headers).json["status"] == "success"


def test_key_cannot_read_a_scan_that_the_player_submitted(
    client: Any, conn: Conn, staff: Staff, kiosk: ApiKeyCaller, ada: SignedInPlayer
) -> None:
    make_code(conn, staff.org_id, code="spy123")
    accepted = scan(client, ada, ada.id)

    assert client.get(accepted.json["result_url"], headers=kiosk.headers).status_code == 404


def test_nonce_is_unique_per_player_and_submitter(
    client: Any, conn: Conn, staff: Staff, kiosk: ApiKeyCaller, ada: SignedInPlayer
) -> None:
    make_code(conn, staff.org_id, code="spy123")
    first = scan(client, kiosk, ada.id, nonce="n1")

    assert scan(client, kiosk, ada.id, nonce="n1").json == first.json
    assert scan(client, kiosk, ada.id, nonce="n1", qr_code="other").status_code == 409
    # Nonces of two submitters, and of two players, are independent.
    others = [
        scan(client, submitter, player_id, nonce="n1")
        for submitter, player_id in (
            (ada, ada.id),
            (make_key(conn, staff.org_id), ada.id),
            (kiosk, make_player(conn)),
        )
    ]
    assert [other.status_code for other in others] == [202] * 3
    assert len({response.json["scan_id"] for response in (first, *others)}) == 4
    assert scan(client, ada, ada.id, nonce="n1").json == others[0].json


def test_scans_of_a_revoked_key_are_judged(
    client: Any, conn: Conn, staff: Staff, kiosk: ApiKeyCaller, ada: SignedInPlayer
) -> None:
    make_code(conn, staff.org_id, code="spy123")
    accepted = scan(client, kiosk, ada.id)
    api_keys.revoke(conn, staff.org_id, kiosk.id)
    judge_pending()

    assert scan(client, kiosk, ada.id).status_code == 401
    assert client.get(accepted.json["result_url"], headers=kiosk.headers).status_code == 401
    assert client.get(accepted.json["result_url"], headers=ada.headers).json["status"] == "success"


def test_key_without_the_scope_cannot_submit(client: Any, conn: Conn, staff: Staff, ada: SignedInPlayer) -> None:
    reader = make_key(conn, staff.org_id, "codes:read", "codes:write", "renders", "analytics")

    assert scan(client, reader, ada.id).status_code == 403
    assert conn.execute("SELECT count(*) FROM player_scans").fetchone() == (0,)


def at(coordinates: Coordinates, **ago: Any) -> dict[str, Any]:
    scanned_at = (datetime.now(UTC) - timedelta(**ago)).isoformat()
    return {"latitude": coordinates.latitude, "longitude": coordinates.longitude, "scanned_at": scanned_at}


@pytest.mark.parametrize("one_batch", [True, False], ids=["one batch", "one by one"])
@pytest.mark.parametrize("hours", [0, 30], ids=["live", "late"])
def test_travel_is_compared_within_one_submitter(
    client: Any, conn: Conn, kiosk: ApiKeyCaller, staff: Staff, ada: SignedInPlayer, one_batch: bool, hours: int
) -> None:
    """Any player can create an organization, put a code anywhere and submit scans of it for any player."""
    make_code(conn, staff.org_id, code="trap", per_player_limit=None)
    make_code(conn, code="real", per_player_limit=None)
    scans: list[tuple[ApiKeyCaller | SignedInPlayer, str, Coordinates]] = [
        (ada, "real", AMSTERDAM),
        (kiosk, "trap", SYDNEY),
        (ada, "real", AMSTERDAM),
        (kiosk, "trap", LISBON),
    ]
    submitted = []
    for seconds, (submitter, code, coordinates) in enumerate(scans):
        fields = at(coordinates, hours=hours, seconds=40 - 10 * seconds)
        submitted.append((submitter, scan(client, submitter, ada.id, qr_code=code, **fields).json["result_url"]))
        if not one_batch:
            judge_pending()
    judge_pending()

    verdicts = [client.get(url, headers=submitter.headers).json["status"] for submitter, url in submitted]
    # Only the last follows a fix of the same submitter, in Sydney.
    assert verdicts == ["success", "success", "success", "held"]
