"""The configuration with clients that must read within a second."""

from web import gunicorn_conf
from web.gunicorn_conf import *  # noqa: F403
from web.gunicorn_conf import post_worker_init as initialize

gunicorn_conf.UNREAD_TIMEOUT_SECONDS = 1


def post_worker_init(worker) -> None:  # type: ignore[no-untyped-def, no-redef]
    from web.realtime import websocket_io

    websocket_io.SEND_TIMEOUT_SECONDS = 1
    initialize(worker)
