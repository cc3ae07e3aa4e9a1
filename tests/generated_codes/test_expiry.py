"""A code expires by the clock of the database, before and after cleanup."""

from typing import Any

import pytest

from shared.infra.db import Conn
from tests.generated_codes.factories import ask, expire
from tests.support.callers import SignedInPlayer
from workers import generated_codes as worker
from workers.cleanup import purge_all


@pytest.fixture(params=["pending", "rendered", "cleaned up"])
def expired(request: pytest.FixtureRequest, conn: Conn, maker: SignedInPlayer) -> str:
    """Return the path of a code that expires now."""
    code_id = ask(conn, created_by=maker.id)
    if request.param != "pending":
        worker.render_pending()
    expire(conn, code_id)
    if request.param == "cleaned up":
        assert purge_all().generated_codes == 1
    return f"/retrieve/{code_id}"


def test_an_expired_code_gets_410_before_and_after_cleanup(client: Any, maker: SignedInPlayer, expired: str) -> None:
    etag = '"any"'
    for response in (
        client.get(expired),
        client.get(expired, headers={"Accept": "image/png", "If-None-Match": "*"}),
        client.get(f"{expired}/image"),
        client.get(f"{expired}/image", headers={"If-None-Match": etag}),
        client.delete(expired, headers=maker.headers),
    ):
        assert response.status_code == 410
        assert response.content_type == "application/problem+json"
        assert response.headers["Cache-Control"] == "no-store"


def test_a_code_is_served_until_its_expiry(client: Any, conn: Conn) -> None:
    code_id = ask(conn)
    conn.execute("UPDATE generated_codes SET expires_at = now() + interval '1 minute'")

    assert client.get(f"/retrieve/{code_id}").status_code == 200
    assert purge_all().generated_codes == 0
    assert client.get(f"/retrieve/{code_id}/image").status_code == 200


def test_expiry_uses_the_clock_of_the_database(client: Any, conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of the web process is years ahead."""
    code_id = ask(conn)
    conn.execute("UPDATE generated_codes SET expires_at = now() + interval '1 minute'")
    monkeypatch.setattr("time.time", lambda: 4e9)

    assert client.get(f"/retrieve/{code_id}").status_code == 200
