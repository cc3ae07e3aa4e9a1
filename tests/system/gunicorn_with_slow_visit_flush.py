"""The configuration with visits that are stored only when the process stops."""

from web.gunicorn_conf import *  # noqa: F403
from web.gunicorn_conf import post_worker_init as initialize


def post_worker_init(worker) -> None:  # type: ignore[no-untyped-def, no-redef]
    from shared.visits import visit_buffer

    visit_buffer.FLUSH_SECONDS = 3600
    initialize(worker)
