"""Attacks on readers of the log: forged lines, and escape sequences for the terminal."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import MagicMock, patch

import structlog

from shared.infra import logging as our_logging
from tests.security.attack import Attack, Scene, replaced
from web.http import proxy_headers, request_context

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


def false_address(scene: Scene) -> bool:
    """A proxy passes on the text that its client sent as an address."""
    path = f"{scene.attacker.codes}/{scene.own_code()}"
    scene.client.patch(
        path,
        json={"active": False},
        headers=scene.attacker.owner.headers,
        environ_base={"REMOTE_ADDR": "<script>"},
    )
    return scene.conn.execute("SELECT FROM audit_log WHERE address = '<script>'").rowcount == 1


ATTACKS = [
    Attack(
        "text in place of an address in the audit log",
        false_address,
        replaced(proxy_headers, "parse_address", lambda text: text),
    ),
    Attack("CR LF and ANSI in logs", forged_line, without_escaping),
]
