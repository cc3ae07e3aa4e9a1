"""A screen and a phone at a real server: the image on the screen succeeds, and a photograph of it soon fails."""

from typing import Any

import psycopg
import pytest

from script.client import Client
from script.stack import RunningServer
from tests.images.camera_view import decode
from tests.support.callers import SignedInPlayer, add_member, sign_in
from tests.support.factories import make_org
from tests.support.polling import eventually

pytestmark = pytest.mark.system


def scan(server: RunningServer, player: SignedInPlayer, text: str) -> str:
    """Return the status of the verdict, or its reason if it has one."""
    body = {"player_id": str(player.id), "qr_code": text}
    verdict = Client(server.base_url, player.access_token).post("/scan", body, Prefer="wait=10")
    return str(verdict.get("reason", verdict["status"]))


def test_photograph_of_a_screen_soon_fails(server: RunningServer, app: Any) -> None:
    with psycopg.connect(server.urls["DATABASE_URL"], autocommit=True) as conn:
        org_id = make_org(conn)
        admin, *players = (sign_in(app, conn) for _ in range(4))
        add_member(conn, org_id, admin.id, "admin")
    staff, anyone = Client(server.base_url, admin.access_token), Client(server.base_url)
    codes = f"/api/organizations/{org_id}/qr-codes"
    code = staff.post(codes, {"scan_type": "item_drop", "rotating": True, "rotation_seconds": 5, "offline_hours": 0})
    screen = staff.post(f"{codes}/{code['id']}/screens", {"name": "Entrance"})["url"]

    def look() -> str:
        """Return the text of the image that the screen shows now."""
        return decode(anyone.fetch("GET", anyone.call("GET", f"{screen}/state")["image_url"]))[0]

    def step(text: str) -> int:
        return int(text.partition("?t=")[2].partition(".")[0])

    photograph = look()

    assert scan(server, players[0], photograph) == "success"
    # A photograph is accepted until the step after its own has ended.
    now = eventually(lambda: text if step(text := look()) >= step(photograph) + 2 else "")
    assert scan(server, players[1], photograph) == "stale_code"
    assert scan(server, players[1], now) == "success"
    assert scan(server, players[2], now[:-1] + ("A" if now[-1] != "A" else "B")) == "forged_code"
    assert screen.rpartition("/")[2] not in server.output()
