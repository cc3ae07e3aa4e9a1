"""Nothing that a player can read depends on the distance to a code."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from shared.infra.db import Conn
from shared.infra.message_sender import background_sender
from shared.scans import store
from shared.scans.rules import Coordinates
from shared.scans.store import StoredScan
from tests.conftest import Player
from tests.support.factories import AMSTERDAM, SIX_KILOMETERS_OFF, SIXTY_METERS_OFF, make_code
from workers.scans import judge_pending

DISTANCES = {"60 m": SIXTY_METERS_OFF, "6 km": SIX_KILOMETERS_OFF}


class Reader:
    """Reads everything that a player gets about one scan, as bytes."""

    def __init__(self, client: Any, conn: Conn, player: Player) -> None:
        self.client, self.conn, self.player = client, conn, player

    def read(self, coordinates: Coordinates) -> dict[str, bytes]:
        body = {
            "player_id": str(self.player.id),
            "qr_code": "spy123",
            "latitude": coordinates.latitude,
            "longitude": coordinates.longitude,
        }
        submitted = self.client.post("/scan", json=body, headers=self._headers(Prefer="wait=10"))
        scan_id = submitted.json["scan_id"]
        assert (submitted.status_code, submitted.json["reason"]) == (200, "not_present")
        looked_up = self.client.get(f"/scan/{scan_id}", headers=self._headers())
        history = self.client.get(f"/player/{self.player.id}/history", headers=self._headers())
        assert [scan["scan_id"] for scan in history.json["scans"]] == [scan_id]
        events = self.conn.execute(
            "SELECT type, data FROM events WHERE player_id = %s AND data ->> 'scan_id' = %s ORDER BY id",
            (self.player.id, scan_id),
        ).fetchall()
        assert [type_ for type_, _ in events] == ["qr_scan", "scan_result"]
        texts = {
            "submission": self._whole(submitted),
            "look-up": self._whole(looked_up),
            "history": self._whole(history),
            "live events": json.dumps(events).encode(),
        }
        return {name: self._without_scan(text, looked_up.json) for name, text in texts.items()}

    def _headers(self, **headers: str) -> dict[str, str]:
        return self.player.headers | {"X-Request-ID": "the-same"} | headers

    def _whole(self, response: Any) -> bytes:
        assert response.content_length == len(response.data)
        headers = sorted((name, value) for name, value in response.headers if name not in ("Date", "Content-Length"))
        return repr((response.status, headers)).encode() + bytes(response.data)

    def _without_scan(self, text: bytes, scan: dict[str, Any]) -> bytes:
        """Replace ids and times of the scan and its player by their names."""
        for name in ("scan_id", "player_id", "scanned_at", "received_at", "settled_at"):
            text = text.replace(scan[name].encode(), name.encode())
        return text


@pytest.fixture
def read_both(
    client: Any, conn: Conn, register: Callable[[], Player], monkeypatch: pytest.MonkeyPatch
) -> Callable[[], list[dict[str, bytes]]]:
    make_code(conn, code="spy123", coordinates=AMSTERDAM)

    def read() -> list[dict[str, bytes]]:
        with ThreadPoolExecutor(1) as worker:
            monkeypatch.setattr(background_sender, "submit", lambda _message: worker.submit(judge_pending))
            return [Reader(client, conn, register()).read(coordinates) for coordinates in DISTANCES.values()]

    return read


def test_not_present_response_is_the_same_at_any_distance(read_both: Callable[[], list[dict[str, bytes]]]) -> None:
    near, far = read_both()
    assert near == far
    assert b"Player must be physically present." in near["submission"]


def test_negative_control_a_leaked_distance_is_noticed(
    read_both: Callable[[], list[dict[str, bytes]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    find = store.find

    def find_with_distance(conn: Conn, scan_id: UUID) -> StoredScan | None:
        scan = find(conn, scan_id)
        row = conn.execute("SELECT distance_m FROM player_scans WHERE id = %s", (scan_id,)).fetchone()
        assert scan is not None
        assert row is not None
        return scan if row[0] is None else replace(scan, qr_code=f"{scan.qr_code} at {row[0]:.0f} m")

    monkeypatch.setattr(store, "find", find_with_distance)
    near, far = read_both()
    assert b"spy123 at 60 m" in near["look-up"]
    assert {name for name in near if near[name] != far[name]} == {"look-up"}
