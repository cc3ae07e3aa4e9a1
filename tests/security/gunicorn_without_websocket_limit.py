"""The service's gunicorn, which holds as many sockets as come: for a negative control."""

from unittest.mock import Mock

from web.gunicorn_conf import *  # noqa: F403
from web.gunicorn_conf import post_worker_init as close_in_order


def post_worker_init(worker) -> None:  # type: ignore[no-untyped-def, no-redef]
    from web.realtime import websockets

    worker.wsgi.extensions[websockets.SLOTS] = Mock()
    close_in_order(worker)
