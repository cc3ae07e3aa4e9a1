"""nginx with the file of docs/small-server.md, in front of two web processes."""

from pathlib import Path
from typing import Any

import pytest
import urllib3

from tests.deployment.proxies import needs_nginx, nginx, trust_certificate
from tests.support.callers import make_staff, sign_in
from tests.support.factories import code_text, make_code
from tests.support.gunicorn_server import serving_process
from tests.system.follower import Follower
from tests.system.load import Load, Scan

pytestmark = [pytest.mark.system, pytest.mark.long, needs_nginx]
ADDRESS = "127.0.0.2"


def test_nginx_passes_on_scans_sockets_pages_uploads_and_addresses(
    app: Any, conn: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust_certificate(monkeypatch, tmp_path)
    staff, ada = make_staff(app, conn), sign_in(app, conn)
    code = code_text(conn, make_code(conn, staff.org_id, per_player_limit=None))
    with (
        serving_process(tmp_path / "first.log", TRUSTED_PROXIES="1") as (first, _),
        serving_process(tmp_path / "second.log", TRUSTED_PROXIES="1") as (second, _),
        nginx(tmp_path, (first, second)) as url,
    ):
        load = Load(url)
        load.hand_in(Scan(ada, code))
        with Follower(url, f"/ws/{ada.id}", ada) as follower:
            assert follower.refused == []

        page = load.ask("GET", "/")
        assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        # Waymark knows that the client uses TLS.
        assert "max-age=" in page.headers["Strict-Transport-Security"]
        assert load.ask("GET", "/metrics").status == 404

        imports = f"{url}{staff.path}/qr-codes/import?dry_run=true"
        client = urllib3.PoolManager(source_address=(ADDRESS, 0))
        csv = staff.owner.headers | {"Content-Type": "text/csv", "X-Forwarded-For": "203.0.113.9"}
        small, large = (
            client.request("POST", imports, headers=csv, body=b"x" * (mebibytes << 20)) for mebibytes in (20, 66)
        )
        # The first is not a file of codes, as Waymark explains. The second never reaches Waymark.
        assert (small.status, small.headers["Content-Type"]) == (422, "application/problem+json"), small.data
        assert (large.status, large.headers["Content-Type"]) == (413, "text/html"), large.data

        # The address that nginx saw counts, not the one that the client claims.
        made = client.request(
            "POST",
            f"{url}{staff.codes}",
            headers=csv | {"Content-Type": "application/json"},
            json={"scan_type": "item_drop"},
        )
        assert made.status == 201, made.data
    assert conn.execute("SELECT DISTINCT address FROM audit_log WHERE org_id = %s", (staff.org_id,)).fetchall() == [
        (ADDRESS,)
    ]
