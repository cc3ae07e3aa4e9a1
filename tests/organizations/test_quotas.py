"""Quotas: a request above one is 409 with the use, deleting makes room, and concurrent requests do not exceed one."""

import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from io import BytesIO
from typing import Any
from unittest.mock import patch

import pytest
from flask import Flask

from shared.codes import store as codes
from shared.codes.rules import DEFAULT_CODE
from shared.errors import QuotaExceeded
from shared.generated_codes import store as generated_codes
from shared.generated_codes.rules import GenerateRequest
from shared.imports import store as imports
from shared.infra import db
from shared.infra.db import Conn
from shared.organizations import api_keys, store, usage
from shared.organizations.api_keys import NewApiKey
from shared.quests import organization_quests
from shared.quests.definitions import QuestDefinition
from shared.renders import store as renders
from shared.renders.rules import RenderOptions
from shared.settings import settings
from tests.images.sample_images import LOGO
from tests.imports.factories import bulk, many, upload
from tests.renders.factories import add_render, customize, find, make_render, work
from tests.security.attack import without_condition
from tests.support.app_settings import change_settings
from tests.support.callers import Staff
from tests.support.factories import code_text, make_code, make_org
from tests.support.polling import eventually
from workers import imports as import_worker
from workers import renders as render_worker

DROP = {"scan_type": "item_drop"}


def create_organization(client: Any, staff: Staff) -> Any:
    return client.post("/api/organizations", json={"name": "Zoo"}, headers=staff.stranger.headers)


def create_key(client: Any, staff: Staff) -> Any:
    body = {"name": "Kiosk", "scopes": ["scan"]}
    return client.post(f"{staff.path}/api-keys", json=body, headers=staff.admin.headers)


def create_code(client: Any, staff: Staff) -> Any:
    return client.post(staff.codes, json=DROP, headers=staff.admin.headers)


def create_quest(client: Any, staff: Staff) -> Any:
    body = {"name": f"walk-{secrets.token_hex(6)}", "streak": 1, "tags": ["landmark"]}
    return client.post(f"{staff.path}/quests", json=body, headers=staff.admin.headers)


def create_codes(client: Any, staff: Staff) -> Any:
    return bulk(client, staff, DROP)


def generate_code(client: Any, staff: Staff) -> Any:
    return client.post("/generate", json={"data": "x"}, headers=staff.admin.headers)


@pytest.mark.parametrize(
    ("create", "quota", "created_path"),
    [
        (create_organization, "max_organizations_per_account", None),
        (create_key, "max_api_keys_per_organization", "{org}/api-keys/{id}"),
        (create_quest, "max_quests_per_organization", "{org}/quests/{name}"),
        (create_code, "max_codes_per_organization", "{org}/qr-codes/{id}"),
        (create_codes, "max_codes_per_organization", None),
        (generate_code, "max_generated_codes_per_player", "/retrieve/{qr_id}"),
    ],
)
def test_request_above_a_quota_is_409_until_there_is_room(
    app: Flask,
    client: Any,
    staff: Staff,
    monkeypatch: pytest.MonkeyPatch,
    create: Callable[[Any, Staff], Any],
    quota: str,
    created_path: str | None,
) -> None:
    change_settings(app, monkeypatch, **{quota: 1})
    first, second = create(client, staff), create(client, staff)

    assert (first.status_code, second.status_code) == (201, 409), second.text
    assert second.json["quota"] == {"name": quota.upper(), "used": 1, "limit": 1}
    assert second.json["detail"].startswith("1 of 1 ")
    assert f"({quota.upper()})" in second.json["detail"]
    if created_path is not None:
        path = created_path.format(org=staff.path, **first.json)
        assert client.delete(path, headers=staff.admin.headers).status_code == 204
        assert create(client, staff).status_code == 201


def test_expired_generated_codes_do_not_count(
    app: Flask, client: Any, conn: Conn, staff: Staff, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_settings(app, monkeypatch, max_generated_codes_per_player=1)
    generate_code(client, staff)
    conn.execute("UPDATE generated_codes SET created_at = now() - interval '2 hours', expires_at = now()")

    assert generate_code(client, staff).status_code == 201


def test_images_of_generated_codes_count_in_megabytes(
    app: Flask, client: Any, conn: Conn, staff: Staff, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_settings(app, monkeypatch, max_generated_mb_per_player=1)
    generate_code(client, staff)
    conn.execute(
        """
        INSERT INTO generated_images (code_id, format, digest, data)
        SELECT id, 'png', 'x', decode(repeat('00', 1000000), 'hex') FROM generated_codes
        """
    )

    response = generate_code(client, staff)

    assert response.status_code == 409
    assert response.json["quota"] == {"name": "MAX_GENERATED_MB_PER_PLAYER", "used": 1, "limit": 1}


def test_import_that_does_not_fit_adds_nothing(
    app: Flask, client: Any, conn: Conn, staff: Staff, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small list is refused at once. A file that a worker imports fails with the same message."""
    change_settings(app, monkeypatch, max_codes_per_organization=3)
    monkeypatch.setattr(
        import_worker, "settings", lambda: settings().model_copy(update={"max_codes_per_organization": 3})
    )
    make_code(conn, staff.org_id)

    small = bulk(client, staff, DROP, DROP, DROP)
    large = upload(client, staff, many(1_001))
    import_worker.run_pending()
    result = client.get(large.json["status_url"], headers=staff.admin.headers).json

    assert (small.status_code, small.json["quota"]["used"]) == (409, 1)
    assert large.status_code == 202
    assert (result["status"], result["done"]) == ("failed", 0)
    assert result["message"] == (
        "1 of 3 codes of this organization are in use (MAX_CODES_PER_ORGANIZATION). "
        "1,001 more do not fit. Delete some first. No code was added."
    )
    assert conn.execute("SELECT count(*) FROM qr_codes").fetchone() == (1,)
    assert bulk(client, staff, DROP, DROP).status_code == 201


def put_logo(client: Any, staff: Staff, code: Any) -> Any:
    path = f"{staff.codes}/{code}/customization/logo"
    return client.put(path, data={"logo": (BytesIO(LOGO), "logo.png")}, headers=staff.admin.headers)


def test_logos_and_renders_share_a_quota_of_bytes(
    app: Flask, client: Any, conn: Conn, staff: Staff, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_settings(app, monkeypatch, max_files_mb_per_organization=1)
    code = make_code(conn, staff.org_id)
    make_render(conn, staff.org_id, code)
    conn.execute("UPDATE render_jobs SET file_bytes = 1000000")
    body = {"all": True, "output": "zip"}

    render = client.post(f"{staff.path}/renders", json=body, headers=staff.admin.headers)
    logo = put_logo(client, staff, code)

    for response in (render, logo):
        assert response.status_code == 409
        assert response.json["quota"] == {"name": "MAX_FILES_MB_PER_ORGANIZATION", "used": 1, "limit": 1}
    conn.execute("UPDATE render_jobs SET expires_at = now()")
    assert put_logo(client, staff, code).status_code == 200
    assert client.post(f"{staff.path}/renders", json=body, headers=staff.admin.headers).status_code == 202


def test_render_whose_file_does_not_fit_fails(conn: Conn, staff: Staff, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        render_worker, "settings", lambda: settings().model_copy(update={"max_files_mb_per_organization": 0})
    )
    render_id = add_render(conn, staff.org_id, [make_code(conn, staff.org_id)])
    work()

    render = find(conn, render_id)
    assert (render.status, render.file_name) == ("failed", None)
    assert render.reason is not None
    assert "MAX_FILES_MB_PER_ORGANIZATION" in render.reason


def test_usage_equals_the_rows(conn: Conn, client: Any, staff: Staff) -> None:
    """Through every statement that adds or removes codes and logos, in two organizations."""
    other = make_org(conn)
    kept, deleted, removed, elsewhere = (make_code(conn, org) for org in (staff.org_id,) * 3 + (other,))
    for code in (kept, deleted, elsewhere):
        customize(conn, code, LOGO)
    customize(conn, kept, LOGO + b"more")
    bulk(client, staff, DROP, DROP)
    bulk(client, staff, DROP, {"code": code_text(conn, elsewhere)} | DROP, query="?partial=true")
    client.delete(f"{staff.codes}/{deleted}", headers=staff.admin.headers)
    conn.execute("DELETE FROM qr_codes WHERE id = %s", (removed,))

    counted = conn.execute("SELECT org_id, codes, logo_bytes FROM organization_usage ORDER BY org_id").fetchall()
    stored = conn.execute(
        """
        SELECT q.org_id, count(*), coalesce(sum(octet_length(c.logo)), 0)
        FROM qr_codes q LEFT JOIN qr_customizations c ON c.qr_code_id = q.id
        WHERE q.deleted_at IS NULL GROUP BY q.org_id ORDER BY q.org_id
        """
    ).fetchall()
    assert counted == stored
    assert {row[1] for row in counted} == {4, 1}


def test_code_texts_are_limited_but_can_be_used_again(
    app: Flask, client: Any, conn: Conn, staff: Staff, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The texts of deleted codes stay with the organization, so that none is created and deleted without end."""
    change_settings(app, monkeypatch, max_codes_per_organization=2)
    monkeypatch.setattr(usage, "TEXTS_PER_CODE", 2)

    def create(text: str) -> Any:
        response = client.post(staff.codes, json=DROP | {"code": text}, headers=staff.admin.headers)
        if response.status_code == 201:
            path = f"{staff.codes}/{response.json['id']}"
            assert client.delete(path, headers=staff.admin.headers).status_code == 204
        return response

    assert [create(text).status_code for text in ("t-1", "t-2", "t-1", "t-2", "t-1", "t-3")] == [201] * 6
    kept = client.post(staff.codes, json=DROP | {"code": "t-4"}, headers=staff.admin.headers).json["id"]
    refused = create("t-5")
    assert (refused.status_code, refused.json["quota"]["limit"]) == (409, 4)
    assert refused.json["detail"].startswith("4 of 4 code texts of this organization are in use")

    def rename(text: str) -> int:
        path = f"{staff.codes}/{kept}"
        return int(client.patch(path, json={"code": text}, headers=staff.admin.headers).status_code)

    assert (rename("t-5"), bulk(client, staff, DROP).status_code) == (409, 409)
    assert (rename("t-1"), create("t-2").status_code) == (200, 201)
    assert conn.execute("SELECT FROM code_texts").rowcount == 4


def add_organization(conn: Conn, staff: Staff) -> None:
    store.check_quota(conn, staff.stranger.id, 1)
    store.add(conn, staff.stranger.id, "Zoo", None, None)


def add_key(conn: Conn, staff: Staff) -> None:
    api_keys.check_quota(conn, staff.org_id, 1)
    api_keys.add(conn, staff.org_id, NewApiKey.new(), name="Kiosk", scopes=["scan"])


def add_code(conn: Conn, staff: Staff) -> None:
    codes.add(conn, staff.org_id, replace(DEFAULT_CODE, code=codes.generate_code_text(), scan_type="item_drop"))
    usage.check_codes(conn, staff.org_id, added=1, limit=1)


def add_generated_code(conn: Conn, staff: Staff) -> None:
    generated_codes.check_quota(conn, staff.owner.id, limit=1, limit_mb=1)
    generated_codes.add(conn, staff.owner.id, GenerateRequest(data="x"), ttl=None)


def add_quest(conn: Conn, staff: Staff) -> None:
    organization_quests.check_quota(conn, staff.org_id, added=1, limit=1)
    quest = QuestDefinition(f"walk-{secrets.token_hex(6)}", streak=1, tags=("landmark",))
    organization_quests.add(conn, staff.org_id, quest, active=False, reserved=())


def add_file(conn: Conn, staff: Staff) -> None:
    conn.execute(
        """
        INSERT INTO render_jobs (org_id, output, format, size, error_correction, total, open_chunks, status,
                                 finished_at, file_name, file_bytes, expires_at)
        VALUES (%s, 'zip', 'png', 300, 'M', 1, 0, 'done', now(), 'a.zip', 600000, now() + interval '1 hour')
        """,
        (staff.org_id,),
    )
    usage.check_files(conn, staff.org_id, added_bytes=600_000, limit_mb=1)


def count_rows(conn: Conn, org_id: Any, *, added: int, limit: int) -> None:
    """Check the quota of codes by the rows, without the lock of the counter."""
    row = conn.execute("SELECT count(*) FROM qr_codes WHERE org_id = %s", (org_id,)).fetchone()
    if row and row[0] > limit:
        raise QuotaExceeded("", 0, 0, "", "")


@contextmanager
def without_counter(conn: Conn) -> Any:
    conn.execute("ALTER TABLE qr_codes DISABLE TRIGGER qr_codes_count_added")
    try:
        with patch.object(usage, "check_codes", count_rows):
            yield
    finally:
        conn.execute("ALTER TABLE qr_codes ENABLE TRIGGER qr_codes_count_added")


LOCK = "id = %(id)s FOR NO KEY UPDATE"
RACES: list[tuple[Callable[[Conn, Staff], None], Callable[[Conn], AbstractContextManager[object]]]] = [
    (add_organization, without_condition(store.check_quota, LOCK)),  # type: ignore[list-item]
    (add_key, without_condition(store.lock, LOCK)),  # type: ignore[list-item]
    (add_quest, without_condition(organization_quests.check_quota, LOCK)),  # type: ignore[list-item]
    (add_code, without_counter),
    (add_generated_code, without_condition(generated_codes.check_quota, LOCK)),  # type: ignore[list-item]
    (add_file, lambda _: patch.object(usage, "lock")),
]


def is_blocked(conn: Conn) -> bool:
    return bool(
        conn.execute(
            "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        ).rowcount
    )


def race(conn: Conn, add: Callable[[Conn, Staff], None], staff: Staff) -> bool:
    """Add one in an open transaction, then another in a second one. Return whether both were added."""

    def add_second() -> bool:
        try:
            with db.transaction() as own:
                add(own, staff)
        except QuotaExceeded:
            return False
        return True

    with ThreadPoolExecutor(1) as pool:
        with db.transaction() as first:
            add(first, staff)
            second = pool.submit(add_second)
            eventually(lambda: second.done() or is_blocked(conn))
        return second.result()


@pytest.mark.parametrize(("add", "without_lock"), RACES)
def test_concurrent_requests_do_not_exceed_a_quota(
    conn: Conn, staff: Staff, add: Callable[[Conn, Staff], None], without_lock: Any
) -> None:
    assert not race(conn, add, staff)


def upload_file(client: Any, staff: Staff) -> Any:
    return upload(client, staff, many(1_001))


def create_blank_codes(client: Any, staff: Staff) -> Any:
    return client.post(f"{staff.codes}/blank", json={"count": 1_001}, headers=staff.admin.headers)


def create_render(client: Any, staff: Staff) -> Any:
    return client.post(f"{staff.path}/renders", json={"all": True}, headers=staff.admin.headers)


@pytest.mark.parametrize("guarded", [True, False], ids=["guarded", "negative control"])
@pytest.mark.parametrize("create", [upload_file, create_blank_codes, create_render])
def test_open_jobs_that_arrive_at_once_do_not_exceed_the_limit(
    app: Flask,
    conn: Conn,
    staff: Staff,
    monkeypatch: pytest.MonkeyPatch,
    create: Callable[[Any, Staff], Any],
    guarded: bool,
) -> None:
    monkeypatch.setattr(imports, "MAX_OPEN_IMPORTS", 1)
    monkeypatch.setattr(renders, "MAX_OPEN_RENDERS", 1)
    code = make_code(conn, staff.org_id)
    with ThreadPoolExecutor(1) as pool:
        with db.transaction() as first:
            imports.create(first, staff.org_id, partial=False)
            renders.add(first, staff.org_id, None, RenderOptions(), [code])
            usage.lock(first, staff.org_id)
            if not guarded:
                monkeypatch.setattr(usage, "lock", lambda *_: None)
            second = pool.submit(create, app.test_client(), staff)
            eventually(lambda: second.done() or is_blocked(conn))
            assert second.done() is not guarded
        assert second.result().status_code == (409 if guarded else 202)


@pytest.mark.parametrize(("add", "without_lock"), RACES)
def test_negative_control_without_the_lock_exceeds_a_quota(
    conn: Conn, staff: Staff, add: Callable[[Conn, Staff], None], without_lock: Any
) -> None:
    # The usage exists, as after the first code of an organization: the files do not wait for its insert.
    conn.execute("INSERT INTO organization_usage (org_id) VALUES (%s)", (staff.org_id,))
    with without_lock(conn):
        assert race(conn, add, staff)
