"""A TCP proxy that can swallow all packets, as a network does that lost a host: no end of the connection arrives."""

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from script.stack.ports import LOOPBACK

POLL_SECONDS = 0.02


class SwallowingProxy:
    """Forwards connections to one server. While `swallows` is set, both sides stay connected and receive nothing."""

    def __init__(self, server: tuple[str, int]) -> None:
        self.swallows = threading.Event()
        self._server, self._closing = server, threading.Event()
        self._listening = socket.create_server((LOOPBACK, 0))
        self.port: int = self._listening.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while not self._closing.is_set():
            if select.select([self._listening], [], [], POLL_SECONDS)[0]:
                near, far = self._listening.accept()[0], socket.create_connection(self._server)
                self._threads.append(threading.Thread(target=self._forward, args=(near, far), daemon=True))
                self._threads[-1].start()

    def _forward(self, near: socket.socket, far: socket.socket) -> None:
        other = {near: far, far: near}
        with near, far:
            while not self._closing.is_set():
                if self.swallows.is_set():
                    self._closing.wait(POLL_SECONDS)
                    continue
                for side in select.select([near, far], [], [], POLL_SECONDS)[0]:
                    if not (data := side.recv(65_536)):
                        return
                    other[side].sendall(data)

    def close(self) -> None:
        self._closing.set()
        for thread in self._threads:
            thread.join()
        self._listening.close()


@contextmanager
def swallowing_proxy(server: tuple[str, int]) -> Iterator[SwallowingProxy]:
    """Run a proxy in front of a server until the context ends."""
    proxy = SwallowingProxy(server)
    try:
        yield proxy
    finally:
        proxy.close()
