"""Time limits: a slow image is interrupted and fails alone, with a message that says why."""

import sys
from typing import Any
from uuid import UUID

import pytest

from shared.infra.db import Conn
from shared.renders import image_timer, store, zip_part
from shared.renders.image_timer import ChunkTooSlow, ImageTimer, ImageTooSlow
from tests.renders.factories import add_render, find, make_codes, work
from tests.support.factories import code_text


def limit(monkeypatch: pytest.MonkeyPatch, *, tick: float, image: int, chunk: int = 1_000) -> None:
    """Set the duration of a counted second, and both limits."""
    monkeypatch.setattr(image_timer, "TICK_SECONDS", tick)
    monkeypatch.setattr(image_timer, "IMAGE_SECONDS", image)
    monkeypatch.setattr(image_timer, "CHUNK_SECONDS", chunk)


def hang(*_: Any) -> Any:
    while True:
        pass


def test_python_code_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    limit(monkeypatch, tick=0.01, image=2)
    with ImageTimer() as timer, pytest.raises(ImageTooSlow, match="longer than 10 seconds"), timer.limit_image():
        hang()


def test_no_interruption_takes_effect_after_its_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """The images take about as long as they may, so some are interrupted at their end."""
    limit(monkeypatch, tick=0.0002, image=1, chunk=10**6)
    interrupted = completed = 0
    interval = sys.getswitchinterval()
    sys.setswitchinterval(0.0001)
    try:
        with ImageTimer() as timer:
            for size in range(20_000):
                try:
                    with timer.limit_image():
                        sum(range(size % 600 * 50))
                except ImageTooSlow:
                    interrupted += 1
                else:
                    completed += 1
                # An exception here fails the test.
                sum(range(1_000))
                if min(interrupted, completed) >= 100:
                    break
    finally:
        sys.setswitchinterval(interval)
    assert min(interrupted, completed) > 0


def test_a_slow_image_fails_alone_at_its_first_attempt(conn: Conn, org: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = make_codes(conn, org, 5)
    render_id = add_render(conn, org, codes)
    render_verified = zip_part.render_verified

    def hang_at_one(job: Any, code: Any, logos: Any) -> bytes:
        return hang() if code.id == codes[2] else render_verified(job, code, logos)

    monkeypatch.setattr(zip_part, "render_verified", hang_at_one)
    limit(monkeypatch, tick=0.05, image=5)

    work()

    job = find(conn, render_id)
    assert (job.status, job.done, job.failed) == ("done", 4, 1)
    assert store.list_errors(conn, render_id) == [store.FailedCode(codes[2], str(ImageTooSlow()))]
    assert conn.execute("SELECT attempts FROM render_chunks").fetchone() == (1,)


def test_images_fail_at_once_after_the_time_of_their_chunk(
    conn: Conn, org: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = make_codes(conn, org, 6)
    render_id = add_render(conn, org, codes)
    monkeypatch.setattr(zip_part, "render_verified", hang)
    limit(monkeypatch, tick=0.01, image=2, chunk=5)

    work()

    messages = [error.message for error in store.list_errors(conn, render_id)]
    assert messages == [str(ImageTooSlow())] * 3 + [str(ChunkTooSlow())] * 3


@pytest.mark.parametrize(("step", "attempts"), [("layout_label", 1), ("decodes_to", 2)])
def test_a_slow_label_fails_alone(
    conn: Conn, org: UUID, monkeypatch: pytest.MonkeyPatch, step: str, attempts: int
) -> None:
    """Pages that take too long are attributed to a label by the next attempt, which renders each label alone."""
    from shared.renders import label_sheets

    codes = make_codes(conn, org, 5)
    render_id = add_render(conn, org, codes, output="label_sheet", template="a4-2x7", caption="none")
    text = code_text(conn, codes[3])
    run_step = getattr(label_sheets, step)

    def hang_at_one(*arguments: Any) -> Any:
        if any(text in str(vars(argument)) for argument in arguments if hasattr(argument, "__dict__")):
            hang()
        return run_step(*arguments)

    monkeypatch.setattr(label_sheets, step, hang_at_one)
    limit(monkeypatch, tick=0.02, image=10)

    work()

    assert find(conn, render_id).done == 4
    assert store.list_errors(conn, render_id) == [store.FailedCode(codes[3], str(ImageTooSlow()))]
    assert conn.execute("SELECT attempts FROM render_chunks").fetchone() == (attempts,)
