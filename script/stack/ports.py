"""Free TCP ports on 127.0.0.1, remembered from one start to the next."""

from __future__ import annotations

import random
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

LOOPBACK = "127.0.0.1"

CHOICE = range(15_000, 30_000)
"""Below the ephemeral range of every system (Linux 32768, macOS 49152). A port in that range can be lost while its
server restarts: clients that keep reconnecting are given it as their own end, and may even connect to themselves."""


def is_free(port: int) -> bool:
    """True when a server could listen on `port` now. SO_REUSEADDR, as servers set it: TIME_WAIT is no obstacle."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def can_listen(address: str) -> bool:
    """True if this process can listen on `host:port`: the host is this machine, and the port is free."""
    host, _, port = address.rpartition(":")
    return host in (LOOPBACK, "localhost") and is_free(int(port))


def free_port() -> int:
    for port in random.sample(CHOICE, 200):
        if is_free(port):
            return port
    raise OSError(f"no free port on {LOOPBACK} between {CHOICE.start} and {CHOICE.stop}")


def remembered_port(memory: Path) -> int:
    """The port written in `memory` if it is still free, else a new one; written down again."""
    try:
        port = int(memory.read_text())
    except (OSError, ValueError):
        port = 0
    if not (port and is_free(port)):
        port = free_port()
        memory.write_text(f"{port}\n")
    return port
