"""Attacks on readers of the log: forged lines, and escape sequences for the terminal."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import MagicMock, patch

import structlog

from shared.infra import logging as our_logging
from tests.security.attack import Attack, Scene
from web.http import request_context

FORGED = '\r\n{"event": "settled", "status": "success"}\x1b[2J\x1b[31m'


def forged_line(scene: Scene) -> bool:
    """A path and an id that hold line breaks and escapes, as Waymark and its libraries log them."""
    our_logging.configure("web")
    with patch.object(request_context, "log", MagicMock()) as log:
        scene.client.get(f"/s/x{FORGED}", headers={"X-Request-ID": "a" * 129})
    event: Any = {"event": log.info.call_args.args[0], **log.info.call_args.kwargs}
    for processor in structlog.get_config()["processors"]:
        event = processor(None, "info", event)
    record = logging.LogRecord("library", logging.WARNING, "", 0, "took %s", (FORGED,), None)
    theirs = logging.getLogger().handlers[0].format(record)
    return any(sign in line for line in (event, theirs) for sign in ("\r", "\n", "\x1b[2J"))


@contextmanager
def without_escaping(_scene: Scene) -> Iterator[None]:
    try:
        with patch.object(our_logging, "_one_line", lambda _logger, _method, event: event):
            yield
    finally:
        our_logging.configure("web")


ATTACKS = [
    Attack("CR LF and ANSI in logs", forged_line, without_escaping),
]
