"""Changes of a design at the same time, and the transactions that are open while it is rendered."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from shared.images import render, store, verification
from shared.images.customizations import DEFAULT_CUSTOMIZATION
from shared.images.image_spec import ImageSpec
from shared.images.logos import sanitize_logo
from shared.infra import db
from shared.infra.db import Conn
from tests.images.designs import CUSTOM, DEFAULTS, logo
from tests.support.callers import Staff
from tests.support.concurrency import wait_until_blocked
from web.api import design_changes


class OpenTransactions:
    """Renders as the service does, and counts the transactions that are open meanwhile, in the whole database."""

    def __init__(self, conn: Conn) -> None:
        self._conn = conn
        self.counts: list[int] = []

    def render(self, spec: ImageSpec, logo: bytes | None = None) -> bytes:
        (count,) = self._conn.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in trans%'"
        ).fetchone() or (0,)
        self.counts.append(count)
        return render.render(spec, logo)


@pytest.fixture
def transactions(conn: Conn, monkeypatch: pytest.MonkeyPatch) -> OpenTransactions:
    probe = OpenTransactions(conn)
    monkeypatch.setattr(verification, "render", probe.render)
    return probe


class TestRendering:
    def test_opens_no_transaction(self, put: Any, upload: Any, transactions: OpenTransactions) -> None:
        assert put(**CUSTOM).status_code == 200
        assert upload(logo()).status_code == 200

        assert transactions.counts == [0, 0]

    def test_negative_control_the_probe_sees_an_open_transaction(self, transactions: OpenTransactions) -> None:
        with db.transaction() as conn:
            conn.execute("SELECT")
            transactions.render(ImageSpec("a"))

        assert transactions.counts == [1]


class TestConcurrentChanges:
    """A transaction stores a logo. A request that changes the colors waits for it, and is verified with that logo."""

    @pytest.fixture
    def specs(self, monkeypatch: pytest.MonkeyPatch) -> list[ImageSpec]:
        """Every spec that was rendered."""
        specs: list[ImageSpec] = []

        def record(spec: ImageSpec, logo: bytes | None = None) -> bytes:
            specs.append(spec)
            return render.render(spec, logo)

        monkeypatch.setattr(verification, "render", record)
        return specs

    def put_during_upload(self, app: Flask, conn: Conn, staff: Staff, code: str) -> Any:
        qr_id, put = UUID(code.rpartition("/")[2]), app.test_client().put
        conn.execute("INSERT INTO qr_customizations (qr_code_id) VALUES (%s)", (qr_id,))
        with ThreadPoolExecutor(1) as thread:
            with db.transaction() as uploading:
                store.save_logo(uploading, qr_id, sanitize_logo(logo()))
                request = thread.submit(put, f"{code}/customization", json=CUSTOM, headers=staff.admin.headers)
                wait_until_blocked(conn)
            return request.result()

    def test_are_verified_together(
        self, app: Flask, conn: Conn, staff: Staff, code: str, specs: list[ImageSpec]
    ) -> None:
        response = self.put_during_upload(app, conn, staff, code)

        assert (response.status_code, response.json["has_logo"]) == (200, True)
        assert [spec.logo is not None for spec in specs] == [False, True]

    def test_negative_control_without_the_lock_they_are_not(
        self, app: Flask, conn: Conn, staff: Staff, code: str, specs: list[ImageSpec], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(store, "lock_customization", lambda *_args: DEFAULT_CUSTOMIZATION)

        response = self.put_during_upload(app, conn, staff, code)

        assert (response.status_code, response.json["has_logo"]) == (200, False)
        assert [spec.logo is not None for spec in specs] == [False]

    def test_a_renamed_code_is_verified_with_its_new_text(
        self, conn: Conn, code: str, put: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        texts: list[str] = []

        def rename(spec: ImageSpec, logo: bytes | None = None) -> bytes:
            texts.append(spec.text.rpartition("/")[2])
            conn.execute("UPDATE qr_codes SET code = 'spy124' WHERE id = %s", (code.rpartition("/")[2],))
            return render.render(spec, logo)

        monkeypatch.setattr(verification, "render", rename)

        assert put(**CUSTOM).status_code == 200
        assert texts == ["spy123", "spy124"]

    def test_endless_changes_end_the_request(
        self, conn: Conn, code: str, put: Any, customization: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        texts: list[str] = []

        def rename(spec: ImageSpec, logo: bytes | None = None) -> bytes:
            texts.append(spec.text)
            conn.execute("UPDATE qr_codes SET code = code || 'x' WHERE id = %s", (code.rpartition("/")[2],))
            return render.render(spec, logo)

        monkeypatch.setattr(verification, "render", rename)

        response = put(**CUSTOM)

        assert (response.status_code, response.headers["Retry-After"]) == (503, "2")
        assert len(texts) == design_changes.MAX_TRIES
        assert customization() == DEFAULTS
