"""A real server in threads of the test process, for what only a socket shows."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from flask import Flask
from werkzeug.serving import make_server

PATIENCE = 20.0


@contextmanager
def serving(app: Flask) -> Iterator[str]:
    """Where the application listens."""
    running = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{running.server_port}"
    finally:
        running.shutdown()
        thread.join(PATIENCE)
