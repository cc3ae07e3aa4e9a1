"""Workers that draw: everything, once, under races, and after every kind of interruption."""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from flask import Flask

from shared.generated_codes import image_rendering, leases, store
from shared.generated_codes.rules import MAX_ATTEMPTS, GeneratedCode, GenerateRequest
from shared.generated_codes.store import StoredImage
from shared.infra import db
from shared.infra.db import Conn
from tests.generated_codes.factories import ask, count, expire, find, read
from tests.support.concurrency import Rendezvous, run_concurrently, wait_until_blocked
from workers import generated_codes as worker

LEASE = timedelta(seconds=30)
PICTURE = StoredImage("digest", b"picture")


def statuses(conn: Conn) -> Counter[str]:
    return Counter(row[0] for row in conn.execute("SELECT status FROM generated_codes"))


def end_leases(conn: Conn) -> None:
    conn.execute("UPDATE generated_codes SET lease_until = now() WHERE status = 'pending'")


def test_one_nudge_draws_everything(conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "BATCH", 4)
    asked = {ask(conn, f"text {k}"): f"text {k}" for k in range(10)}

    worker.render_pending()

    assert statuses(conn) == {"ready": 10}
    for code_id, text in asked.items():
        image = store.get_image(conn, code_id, "png")
        assert image is not None
        assert read(image.data) == text
        assert image.digest == find(conn, code_id).picture().digest()


def test_drawing_again_changes_nothing(conn: Conn) -> None:
    ask(conn)
    worker.render_pending()
    before = conn.execute("SELECT * FROM generated_codes, generated_images").fetchall()

    worker.render_pending()

    assert conn.execute("SELECT * FROM generated_codes, generated_images").fetchall() == before


# Races ----------------------------------------------------------------------------------------------------------------


def test_workers_side_by_side_draw_each_code_once(conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[UUID] = []
    draw = image_rendering.render

    def counted(code: GeneratedCode) -> StoredImage:
        drawn.append(code.id)
        return draw(code)

    monkeypatch.setattr(image_rendering, "render", counted)
    monkeypatch.setattr(worker, "BATCH", 3)
    asked = [ask(conn) for _ in range(40)]

    run_concurrently([worker.render_pending] * 4)
    worker.render_pending()  # what a worker left to another that had just gone

    assert sorted(drawn) == sorted(asked)
    assert statuses(conn) == {"ready": 40}


def test_a_worker_does_not_wait_for_codes_that_another_is_claiming(conn: Conn) -> None:
    first, second = ask(conn), ask(conn)
    with db.transaction() as other:
        assert [code.id for code in leases.claim_fresh(other, uuid4(), LEASE, limit=1)] == [first]
        assert [code.id for code in leases.claim_fresh(conn, uuid4(), LEASE, limit=9)] == [second]


@pytest.mark.parametrize("guarded", [True, False], ids=["guarded", "negative control"])
def test_a_worker_that_comes_back_too_late_writes_nothing(
    conn: Conn, monkeypatch: pytest.MonkeyPatch, guarded: bool
) -> None:
    """Given a worker that was stopped for longer than its lease, while another one drew its code."""
    if not guarded:
        monkeypatch.setattr(leases, "STILL_OURS", "%(token)s::uuid IS NOT NULL")
    code_id = ask(conn)
    late, prompt = uuid4(), uuid4()
    leases.claim_fresh(conn, late, LEASE, limit=1)
    end_leases(conn)
    leases.claim_suspect(conn, prompt, LEASE)
    leases.store_images(conn, prompt, {code_id: PICTURE})

    leases.suspect(conn, late, {code_id: "too late to matter"})
    leases.give_back(conn, late)

    row = conn.execute("SELECT status, attempts, lease_until, last_error FROM generated_codes").fetchone()
    assert (row == ("ready", 2, None, None)) is guarded


def test_a_late_picture_does_not_replace_the_one_that_was_shown(conn: Conn) -> None:
    code_id, late = ask(conn), uuid4()
    leases.claim_fresh(conn, late, LEASE, limit=1)
    store.keep(conn, code_id, "png", PICTURE)  # somebody looked at it meanwhile

    assert leases.store_images(conn, late, {code_id: StoredImage("other", b"other")}) == 0

    assert store.get_image(conn, code_id, "png") == PICTURE


def test_who_asks_while_a_worker_draws_is_given_the_picture(app: Flask, client: Any, conn: Conn) -> None:
    code_id, token = ask(conn), uuid4()
    (claimed,) = leases.claim_fresh(conn, token, LEASE, limit=1)

    answer = client.get(f"/retrieve/{code_id}/image")

    assert answer.status_code == 200
    assert leases.store_images(conn, token, {code_id: image_rendering.render(claimed)}) == 0
    assert client.get(f"/retrieve/{code_id}/image").headers["ETag"] == answer.headers["ETag"]
    assert find(conn, code_id).status == "ready"


def test_who_asks_while_a_worker_stores_is_given_what_it_stored(app: Flask, conn: Conn) -> None:
    """Both have drawn; the worker's transaction is open when the other one comes to store."""
    code_id, token = ask(conn), uuid4()
    leases.claim_fresh(conn, token, LEASE, limit=1)
    ready = Rendezvous()

    def store_slowly() -> bytes:
        with db.transaction() as own:
            leases.store_images(own, token, {code_id: PICTURE})
            ready.wait()
            wait_until_blocked(conn)
        return PICTURE.data

    def look() -> bytes:
        ready.wait()
        return bytes(app.test_client().get(f"/retrieve/{code_id}/image").data)

    assert run_concurrently([store_slowly, look]) == [PICTURE.data, PICTURE.data]
    assert count(conn, "generated_images") == 1


def test_many_who_ask_at_once_are_given_the_same(app: Flask, conn: Conn) -> None:
    url = f"/retrieve/{ask(conn)}/image"

    answers = run_concurrently([lambda: app.test_client().get(url)] * 8)

    assert {answer.status_code for answer in answers} == {200}
    assert len({(answer.data, answer.headers["ETag"]) for answer in answers}) == 1
    assert count(conn, "generated_images") == 1


@pytest.mark.parametrize(
    "write",
    [
        lambda conn, token, code_id: leases.store_images(conn, token, {code_id: PICTURE}),
        lambda conn, token, code_id: store.keep(conn, code_id, "png", PICTURE),
    ],
    ids=["by a worker", "on the spot"],
)
@pytest.mark.parametrize("by", ["its maker", "cleanup"])
def test_a_code_deleted_while_it_is_drawn_leaves_no_picture(
    conn: Conn, write: Callable[[Conn, UUID, UUID], Any], by: str
) -> None:
    code_id, token = ask(conn), uuid4()
    leases.claim_fresh(conn, token, LEASE, limit=1)
    if by == "cleanup":
        expire(conn, code_id)
        store.purge_expired(conn, limit=1)
    else:
        store.remove(conn, code_id)

    write(conn, token, code_id)

    assert count(conn, "generated_images") == 0


# Interruptions --------------------------------------------------------------------------------------------------------


def test_a_code_that_cannot_be_drawn_is_set_aside_and_the_others_go_on(
    conn: Conn, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [ask(conn) for _ in range(5)]
    tried = Counter[UUID]()
    draw = image_rendering.render

    def fail(code: GeneratedCode) -> StoredImage:
        tried[code.id] += 1
        if code.id == asked[2]:
            raise ZeroDivisionError("no such luck")
        return draw(code)

    monkeypatch.setattr(image_rendering, "render", fail)
    worker.render_pending()

    assert statuses(conn) == {"ready": 4, "failed": 1}
    assert tried == {code_id: MAX_ATTEMPTS if code_id == asked[2] else 1 for code_id in asked}
    row = conn.execute("SELECT last_error FROM generated_codes WHERE status = 'failed'").fetchone()
    assert row == ("ZeroDivisionError: no such luck",)


def test_a_code_that_kills_its_worker_three_times_is_set_aside_and_the_others_go_on(
    conn: Conn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that is gone without a word when it comes to the deadly code: its leases stay behind."""
    asked = [ask(conn) for _ in range(5)]
    draw = image_rendering.render

    def die(code: GeneratedCode) -> StoredImage:
        if code.id == asked[2]:
            raise SystemExit
        return draw(code)

    monkeypatch.setattr(image_rendering, "render", die)
    kills = 0
    while "pending" in statuses(conn):
        try:
            worker.render_pending()
        except SystemExit:
            kills += 1
            end_leases(conn)
        assert kills <= MAX_ATTEMPTS

    assert kills == MAX_ATTEMPTS
    assert statuses(conn) == {"ready": 4, "failed": 1}
    row = conn.execute("SELECT id, last_error FROM generated_codes WHERE status = 'failed'").fetchone()
    assert row == (asked[2], "its worker did not come back")


def test_a_live_lease_is_respected(conn: Conn) -> None:
    ask(conn)
    leases.claim_fresh(conn, uuid4(), LEASE, limit=1)

    worker.render_pending()

    assert statuses(conn) == {"pending": 1}


def test_a_database_that_goes_away_costs_no_attempt(conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    ask(conn)

    def go_away(*_: Any) -> None:
        raise psycopg.OperationalError("server closed the connection unexpectedly")

    with monkeypatch.context() as broken:
        broken.setattr(leases, "store_images", go_away)
        with pytest.raises(psycopg.OperationalError):
            worker.render_pending()
    assert conn.execute("SELECT attempts, lease_until FROM generated_codes").fetchone() == (0, None)
    worker.render_pending()
    assert statuses(conn) == {"ready": 1}


def test_nothing_is_stored_by_half(conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    """The crash between a picture and the end of its transaction."""
    ask(conn)

    def crash(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(leases, "suspect", crash)
        with pytest.raises(KeyboardInterrupt):
            worker.render_pending()
    assert (statuses(conn), count(conn, "generated_images")) == ({"pending": 1}, 0)


def test_a_request_that_came_from_elsewhere_is_drawn_too(conn: Conn) -> None:
    """A row by hand is pending, and the sweep's nudge finds it."""
    conn.execute("INSERT INTO generated_codes (data, format, size, error_correction) VALUES ('a', 'png', 100, 'L')")

    worker.render_pending()

    assert statuses(conn) == {"ready": 1}


def test_the_longest_text_of_each_format_is_drawn(conn: Conn) -> None:
    asked = GenerateRequest(data="a" * 2_953, size=2_000, error_correction="L")
    for as_format in ("png", "svg", "pdf"):
        ask(conn, asked.data, format=as_format, size=asked.size, error_correction="L")

    worker.render_pending()

    assert statuses(conn) == {"ready": 3}
