"""Workers render every code once: in races, and after interruptions."""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask import Flask

from shared.generated_codes import image_rendering, store
from shared.generated_codes.rules import GeneratedCode, GenerateRequest
from shared.generated_codes.store import PENDING_CODES, StoredImage
from shared.infra import db, leases
from shared.infra.db import Conn
from tests.generated_codes.factories import ask, count, expire, find, read
from tests.support.concurrency import Rendezvous, run_concurrently, wait_until_blocked
from workers import generated_codes as worker

LEASE = timedelta(seconds=30)
IMAGE = StoredImage("digest", b"image")


def statuses(conn: Conn) -> Counter[str]:
    return Counter(row[0] for row in conn.execute("SELECT status FROM generated_codes"))


def end_leases(conn: Conn) -> None:
    conn.execute("UPDATE generated_codes SET lease_until = now() WHERE status = 'pending' AND lease_until IS NOT NULL")


def test_one_message_renders_all_codes(conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker.generated_codes, "batch_size", 4)
    texts = {ask(conn, f"text {k}"): f"text {k}" for k in range(10)}

    worker.render_pending()

    assert statuses(conn) == {"ready": 10}
    for code_id, text in texts.items():
        image = store.get_image(conn, code_id, "png")
        assert image is not None
        assert read(image.data) == text
        assert image.digest == find(conn, code_id).image_spec().digest()


def test_rendering_again_changes_nothing(conn: Conn) -> None:
    ask(conn)
    worker.render_pending()
    before = conn.execute("SELECT * FROM generated_codes, generated_images").fetchall()

    worker.render_pending()

    assert conn.execute("SELECT * FROM generated_codes, generated_images").fetchall() == before


# Races ----------------------------------------------------------------------------------------------------------------


def test_concurrent_workers_render_each_code_once(conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    rendered: list[UUID] = []
    render = image_rendering.render

    def render_and_record(code: GeneratedCode) -> StoredImage:
        rendered.append(code.id)
        return render(code)

    monkeypatch.setattr(image_rendering, "render", render_and_record)
    monkeypatch.setattr(worker.generated_codes, "batch_size", 3)
    code_ids = [ask(conn) for _ in range(40)]

    run_concurrently([worker.render_pending] * 4)

    assert sorted(rendered) == sorted(code_ids)
    assert statuses(conn) == {"ready": 40}


@pytest.mark.parametrize("is_guarded", [True, False], ids=["guarded", "negative control"])
def test_a_worker_that_lost_its_lease_stores_nothing(
    conn: Conn, monkeypatch: pytest.MonkeyPatch, is_guarded: bool
) -> None:
    """The worker was halted for longer than its lease, while another rendered its code."""
    code_id, late = ask(conn), uuid4()
    leases.claim_new(conn, PENDING_CODES, late, LEASE, limit=1)
    end_leases(conn)
    leases.claim_retry(conn, PENDING_CODES, uuid4(), LEASE)
    if not is_guarded:
        statement = "SELECT id FROM generated_codes WHERE id = ANY (%s)"
        monkeypatch.setattr(leases, "lock_held", lambda own, _table, _token, ids: own.execute(statement, (ids,)))

    stored = store.settle(conn, late, {code_id: IMAGE})

    assert (stored == 0) is is_guarded
    assert statuses(conn) == ({"pending": 1} if is_guarded else {"ready": 1})


def test_a_late_image_does_not_replace_the_first(conn: Conn) -> None:
    code_id, late = ask(conn), uuid4()
    leases.claim_new(conn, PENDING_CODES, late, LEASE, limit=1)
    store.store_image(conn, code_id, "png", IMAGE)

    assert store.settle(conn, late, {code_id: StoredImage("other", b"other")}) == 0

    assert store.get_image(conn, code_id, "png") == IMAGE


def test_a_request_renders_while_a_worker_renders(app: Flask, client: Any, conn: Conn) -> None:
    code_id, token = ask(conn), uuid4()
    (claimed,) = leases.claim_new(conn, PENDING_CODES, token, LEASE, limit=1)

    response = client.get(f"/retrieve/{code_id}/image")

    assert response.status_code == 200
    assert store.settle(conn, token, {code_id: image_rendering.render(claimed)}) == 0
    assert client.get(f"/retrieve/{code_id}/image").headers["ETag"] == response.headers["ETag"]
    assert find(conn, code_id).status == "ready"


def test_a_request_gets_the_image_that_a_worker_is_storing(app: Flask, conn: Conn) -> None:
    """Both have rendered. The transaction of the worker is open when the request stores its image."""
    code_id, token = ask(conn), uuid4()
    leases.claim_new(conn, PENDING_CODES, token, LEASE, limit=1)
    ready = Rendezvous()

    def store_slowly() -> bytes:
        with db.transaction() as own:
            store.settle(own, token, {code_id: IMAGE})
            ready.wait()
            wait_until_blocked(conn)
        return IMAGE.data

    def request() -> bytes:
        ready.wait()
        return bytes(app.test_client().get(f"/retrieve/{code_id}/image").data)

    assert run_concurrently([store_slowly, request]) == [IMAGE.data, IMAGE.data]
    assert count(conn, "generated_images") == 1


def test_concurrent_requests_get_the_same_image(app: Flask, conn: Conn) -> None:
    url = f"/retrieve/{ask(conn)}/image"

    responses = run_concurrently([lambda: app.test_client().get(url)] * 8)

    assert {response.status_code for response in responses} == {200}
    assert len({(response.data, response.headers["ETag"]) for response in responses}) == 1
    assert count(conn, "generated_images") == 1


@pytest.mark.parametrize(
    "write",
    [
        lambda conn, token, code_id: store.settle(conn, token, {code_id: IMAGE}),
        lambda conn, token, code_id: store.store_image(conn, code_id, "png", IMAGE),
    ],
    ids=["by a worker", "by a request"],
)
@pytest.mark.parametrize("deleted_by", ["its creator", "cleanup"])
def test_a_code_deleted_while_it_is_rendered_leaves_no_image(
    conn: Conn, write: Callable[[Conn, UUID, UUID], Any], deleted_by: str
) -> None:
    code_id, token = ask(conn), uuid4()
    leases.claim_new(conn, PENDING_CODES, token, LEASE, limit=1)
    if deleted_by == "cleanup":
        expire(conn, code_id)
        store.purge_expired(conn, limit=1)
    else:
        store.delete(conn, code_id)

    write(conn, token, code_id)

    assert count(conn, "generated_images") == 0


# Interruptions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "reason"),
    [(SystemExit, leases.CRASHED), (ZeroDivisionError("no such luck"), "ZeroDivisionError: no such luck")],
    ids=["kills its worker", "fails"],
)
def test_a_code_that_stops_three_workers_is_dead_lettered(
    conn: Conn, monkeypatch: pytest.MonkeyPatch, error: BaseException, reason: str
) -> None:
    codes = [ask(conn) for _ in range(5)]
    attempts = Counter[UUID]()
    render = image_rendering.render

    def render_or_raise(code: GeneratedCode) -> StoredImage:
        attempts[code.id] += 1
        if code.id == codes[2]:
            raise error
        return render(code)

    monkeypatch.setattr(image_rendering, "render", render_or_raise)
    while "pending" in statuses(conn):
        with suppress(SystemExit):
            worker.render_pending()
        end_leases(conn)

    assert attempts[codes[2]] == PENDING_CODES.max_attempts
    assert statuses(conn) == {"ready": 4, "failed": 1}
    row = conn.execute("SELECT id, last_error FROM generated_codes WHERE status = 'failed'").fetchone()
    assert row == (codes[2], reason)


def test_a_crash_before_the_commit_stores_nothing(conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker crashes between the insertion of an image and the commit."""
    ask(conn)

    settle = store.settle

    def settle_and_crash(*params: Any) -> None:
        settle(*params)
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(store, "settle", settle_and_crash)
        with pytest.raises(KeyboardInterrupt):
            worker.render_pending()
    assert (statuses(conn), count(conn, "generated_images")) == ({"pending": 1}, 0)


def test_a_row_inserted_by_hand_is_rendered(conn: Conn) -> None:
    """It is pending, so the next poll finds it."""
    conn.execute("INSERT INTO generated_codes (data, format, size, error_correction) VALUES ('a', 'png', 100, 'L')")

    worker.render_pending()

    assert statuses(conn) == {"ready": 1}


def test_the_longest_text_is_rendered_in_each_format(conn: Conn) -> None:
    params = GenerateRequest(data="a" * 2_953, size=2_000, error_correction="L")
    for as_format in ("png", "svg", "pdf"):
        ask(conn, params.data, format=as_format, size=params.size, error_correction="L")

    worker.render_pending()

    assert statuses(conn) == {"ready": 3}
