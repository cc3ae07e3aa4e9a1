"""The service's gunicorn, which holds as many sockets as come: for a negative control."""

import threading

from web.gunicorn_conf import *  # noqa: F403
from web.gunicorn_conf import post_worker_init as close_in_order


def post_worker_init(worker) -> None:  # type: ignore[no-untyped-def, no-redef]
    from web.realtime import websockets

    worker.wsgi.extensions[websockets.SLOTS] = threading.BoundedSemaphore(1_000)
    close_in_order(worker)
