"""Waiting for something to answer, without holding up the event loop that has to hear the signals."""

from __future__ import annotations

import asyncio
import http.client
import socket
import time
from typing import TYPE_CHECKING

from script.stack.ports import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Callable


class NotReadyError(Exception):
    """A server did not answer in time. The message names it and quotes its last output."""


async def ready(name: str, problem: Callable[[], str | None], within: float) -> None:
    """Return once `problem()` is None. It runs in a thread and must take no longer than a few seconds."""
    deadline = time.monotonic() + within
    while trouble := await asyncio.to_thread(problem):
        if time.monotonic() > deadline:
            raise NotReadyError(f"{name} was not ready within {within:.0f} s: {trouble}")
        await asyncio.sleep(0.05)


def web_problem(port: int) -> str | None:
    """None when GET /readyz answers 200. Asked directly: a proxy from the environment has no business here."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=3)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        body = answer.read(2000).decode(errors="replace").strip()
    except (OSError, http.client.HTTPException) as error:
        return f"GET /readyz: {error}"
    finally:
        connection.close()
    return None if answer.status == http.client.OK else f"GET /readyz answered {answer.status} {body}"


def listener_problem(address: str) -> str | None:
    """Return None if a process listens at `host:port`, else what is wrong."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=3).close()
    except OSError as error:
        return f"{address}: {error}"
    return None
