"""The limits of open WebSockets in this process: in total, of one player, and of one address."""

import threading
from collections import Counter
from collections.abc import Callable
from functools import partial
from uuid import UUID

from shared.errors import TooManyWebSockets, TooManyWebSocketsOfClient
from shared.settings import Settings

PROCESS = "process"


class WebSocketSlots:
    """The numbers of open sockets, by player, by address, and of the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: Counter[UUID | str] = Counter()

    def acquire(self, client: UUID, address: str, settings: Settings) -> Callable[[], None]:
        """Count one more socket. Return the function that releases it. Raise an error that names a reached limit."""
        with self._lock:
            if self._open[client] >= (limit := settings.max_websockets_per_client):
                raise TooManyWebSocketsOfClient("MAX_WEBSOCKETS_PER_CLIENT", "your player", self._open[client], limit)
            if self._open[address] >= (limit := settings.max_websockets_per_address):
                raise TooManyWebSocketsOfClient(
                    "MAX_WEBSOCKETS_PER_ADDRESS", "your address", self._open[address], limit
                )
            if self._open[PROCESS] >= settings.max_websockets:
                raise TooManyWebSockets
            self._open.update((client, address, PROCESS))
        return partial(self._release, client, address, PROCESS)

    def _release(self, *keys: UUID | str) -> None:
        with self._lock:
            for key in keys:
                self._open[key] -= 1
                if not self._open[key]:
                    del self._open[key]
