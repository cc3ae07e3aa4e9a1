"""A real gunicorn on this test process's stores."""

import http.client
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from script.stack.files import open_log
from script.stack.ports import LOOPBACK, free_port
from script.stack.process import Command
from script.stack.running_server import CHECKOUT
from tests.support.polling import eventually


@contextmanager
def serving(
    log: Path, *, config: str = "web/gunicorn_conf.py", application: str = "web.app:create_app()", **environment: str
) -> Iterator[int]:
    """Its port, once it answers; what it prints goes to the log."""
    with serving_process(log, config=config, application=application, **environment) as (port, _):
        yield port


@contextmanager
def serving_process(
    log: Path, *, config: str = "web/gunicorn_conf.py", application: str = "web.app:create_app()", **environment: str
) -> Iterator[tuple[int, "subprocess.Popen[bytes]"]]:
    """The same with the process."""
    port = free_port()
    argv = (sys.executable, "-m", "gunicorn", "--config", config, application)
    full = os.environ | {"PORT": str(port), "HOST": LOOPBACK, "PYTHONPATH": str(CHECKOUT)} | environment
    with open_log(log) as output:
        process = subprocess.Popen(
            Command(argv, environment=full, directory=CHECKOUT).leashed(),
            cwd=CHECKOUT,
            env=full,
            stdout=output,
            stderr=output,
        )
    try:
        eventually(lambda: is_alive(port))
        yield port, process
    finally:
        process.terminate()
        process.wait(30)


def is_alive(port: int) -> bool:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=30)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
