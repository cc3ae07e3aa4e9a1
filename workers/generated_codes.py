"""Drawing generated codes: claim what is pending, render, store once."""

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID, uuid4

import psycopg

from shared.generated_codes import leases
from shared.generated_codes.rules import GeneratedCode
from shared.generated_codes.store import StoredImage
from shared.infra import db
from shared.infra.db import Conn
from shared.infra.logging import get_logger
from shared.infra.message_sender import send
from shared.messages import GeneratedCodesPending
from workers.broker import actor_for, worker_lifecycle

log = get_logger()

BATCH = 100
ROUNDS = 100  # then let other messages of this worker have their turn
LEASE = timedelta(seconds=30)
"""Far above what a batch takes. Who looks at a picture before its lease is over has it drawn on the spot."""


@actor_for(GeneratedCodesPending)
def render_pending() -> None:
    """Draw every pending code there is. Safe to run twice: a code that is leased or drawn is not claimed again."""
    for round_ in range(ROUNDS):
        drawn = render_new() or render_retry() or set_aside()
        if not drawn or worker_lifecycle.stopping.is_set():
            break
        if round_ == 0 and drawn == BATCH:
            send(GeneratedCodesPending())  # another worker may help
    else:
        send(GeneratedCodesPending())


def render_new() -> int:
    """Draw up to a batch of codes that nobody has tried yet. Returns how many were claimed."""
    return _draw(lambda conn, token: leases.claim_fresh(conn, token, LEASE, limit=BATCH))


def render_retry() -> int:
    """Draw one code that was tried in vain before, by itself."""
    return _draw(lambda conn, token: leases.claim_suspect(conn, token, LEASE))


def set_aside() -> int:
    """Give up on codes that were tried too often. Who asks for one is told so; the log and its row say why."""
    with db.connection() as conn:
        spent = leases.dead_letter_exhausted(conn, limit=BATCH)
    for code_id in spent:
        log.error("image_dead_lettered", qr_id=str(code_id))
    return len(spent)


def _draw(claim: Callable[[Conn, UUID], list[GeneratedCode]]) -> int:
    token = uuid4()
    with db.connection() as conn:
        claimed = claim(conn, token)
    if not claimed:
        return 0
    images, failures = _render_all(claimed)
    try:
        with db.transaction() as conn:
            stored = leases.store_images(conn, token, images)
            leases.suspect(conn, token, failures)
    except psycopg.OperationalError as error:  # PostgreSQL went away
        log.warning("rendering_postponed", codes=len(claimed), error=str(error))
        with db.connection() as conn:
            leases.give_back(conn, token)
        raise
    log.info("images_rendered", stored=stored, failed=len(failures))
    return len(claimed)


def _render_all(codes: list[GeneratedCode]) -> tuple[dict[UUID, StoredImage], dict[UUID, str]]:
    """The pictures of those that could be rendered, and what went wrong with the others: one takes none along."""
    from shared.generated_codes import image_rendering  # noqa: PLC0415 - loads the renderer

    images, failures = {}, {}
    for code in codes:
        try:
            images[code.id] = image_rendering.render(code)
        except Exception as error:
            log.warning("image_attempt_failed", qr_id=str(code.id), attempt=code.attempts, exc_info=error)
            failures[code.id] = f"{type(error).__name__}: {error}"[:500]
    return images, failures
