"""The configuration without the exit hook that stores visits, for a negative control."""

from shared.visits import visit_buffer
from web.gunicorn_conf import *  # noqa: F403

visit_buffer.FLUSH_SECONDS = 3600


def worker_exit(server, worker) -> None:  # type: ignore[no-untyped-def, no-redef]
    pass
