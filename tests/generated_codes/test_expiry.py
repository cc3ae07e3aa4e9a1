"""A code is gone at the instant of its expiry, by the database's clock, whether or not cleanup has run."""

from typing import Any

import pytest

from shared.infra.db import Conn
from tests.generated_codes.factories import ask, expire
from tests.support.callers import SignedInPlayer
from workers import generated_codes as worker
from workers.cleanup import purge_all


@pytest.fixture(params=["nobody came", "drawn", "cleaned up"])
def expired(request: pytest.FixtureRequest, conn: Conn, maker: SignedInPlayer) -> str:
    """The path of a code whose time is over at this very instant."""
    code_id = ask(conn, created_by=maker.id)
    if request.param != "nobody came":
        worker.render_pending()
    expire(conn, code_id)
    if request.param == "cleaned up":
        assert purge_all().generated_codes == 1
    return f"/retrieve/{code_id}"


def test_it_is_gone_at_the_instant_whether_or_not_cleanup_has_run(
    client: Any, maker: SignedInPlayer, expired: str
) -> None:
    etag = '"whatever the client has"'
    for answer in (
        client.get(expired),
        client.get(expired, headers={"Accept": "image/png", "If-None-Match": "*"}),
        client.get(f"{expired}/image"),
        client.get(f"{expired}/image", headers={"If-None-Match": etag}),
        client.delete(expired, headers=maker.headers),
    ):
        assert answer.status_code == 410
        assert answer.content_type == "application/problem+json"
        assert answer.headers["Cache-Control"] == "no-store"


def test_it_is_there_until_the_instant(client: Any, conn: Conn) -> None:
    code_id = ask(conn)
    conn.execute("UPDATE generated_codes SET expires_at = now() + interval '1 minute'")

    assert client.get(f"/retrieve/{code_id}").status_code == 200
    assert purge_all().generated_codes == 0
    assert client.get(f"/retrieve/{code_id}/image").status_code == 200


def test_the_clock_is_the_databases(client: Any, conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a web process whose clock is years off: it is not asked."""
    code_id = ask(conn)
    conn.execute("UPDATE generated_codes SET expires_at = now() + interval '1 minute'")
    monkeypatch.setattr("time.time", lambda: 4e9)

    assert client.get(f"/retrieve/{code_id}").status_code == 200
