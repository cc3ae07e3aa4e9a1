"""Render pending generated codes, and store each image once."""

from datetime import timedelta
from uuid import UUID

from shared.generated_codes import store
from shared.generated_codes.rules import GeneratedCode
from shared.generated_codes.store import StoredImage
from shared.infra import db, leases
from shared.infra.logging import get_logger
from shared.messages import GeneratedCodesPending
from workers.broker import actor_for
from workers.jobs import JobRunner

log = get_logger()

BATCH_SIZE = 100
LEASE = timedelta(seconds=30)
"""Far longer than a batch takes. A request for an image whose lease is active renders it itself."""


@actor_for(GeneratedCodesPending)
def render_pending() -> None:
    """Render all pending codes."""
    generated_codes.run_pending()


def render(token: UUID, claimed: list[GeneratedCode]) -> None:
    """Render and store images. A code that fails is retried alone, and does not affect the others."""
    images, errors = _render_all(claimed)
    with db.transaction() as conn:
        stored = store.settle(conn, token, images)
        for code_id, message in errors.items():
            leases.fail_lease(conn, store.PENDING_CODES, token, [code_id], message)
    log.info("images_rendered", stored=stored, failed=len(errors))


def _render_all(codes: list[GeneratedCode]) -> tuple[dict[UUID, StoredImage], dict[UUID, str]]:
    """Return the images of the codes that could be rendered, and the errors of the others."""
    from shared.generated_codes import image_rendering  # noqa: PLC0415 - loads the renderer

    images, errors = {}, {}
    for code in codes:
        try:
            images[code.id] = image_rendering.render(code)
        except Exception as error:
            log.warning("image_attempt_failed", qr_id=str(code.id), attempt=code.attempts, exc_info=error)
            errors[code.id] = f"{type(error).__name__}: {error}"
    return images, errors


def dead_letter(token: UUID, claimed: list[GeneratedCode]) -> None:
    """Give up codes without attempts left. Requests for them get an error; the log and the row have the reason."""
    with db.transaction() as conn:
        code_ids = store.dead_letter(conn, token, [code.id for code in claimed])
    for code_id in code_ids:
        log.error("image_dead_lettered", qr_id=str(code_id))


generated_codes = JobRunner(
    store.PENDING_CODES, GeneratedCodesPending(), render, dead_letter, lease=lambda: LEASE, batch_size=BATCH_SIZE
)
