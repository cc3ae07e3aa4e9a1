"""gunicorn's gevent worker, with a deadline for request heads, and a stop that loses no request.

The master process loads this module before it forks, so it imports nothing that gevent must patch.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from types import FrameType
from typing import Any

import gevent
from gevent.local import local
from gevent.server import StreamServer
from gunicorn.util import close_graceful
from gunicorn.workers.ggevent import GeventWorker

from shared.settings import settings

DRAIN_SECONDS = 3.0
"""How long a stopping process waits for the next request of a connection that the client keeps open."""
CLOSE_SECONDS = 1.0
"""How long a WebSocket of a stopping process waits for a client that reads too slowly for the close frame."""
LINGER_SECONDS = 1.0
PROBLEM = (
    b'{"type": "about:blank", "title": "Service Unavailable", "status": 503, "code": "draining",'
    b' "detail": "This process is shutting down. Retry shortly."}'
)
DRAINING = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nContent-Length: %d\r\n"
    b"Retry-After: 1\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n%s" % (len(PROBLEM), PROBLEM)
)


class HeadTimeout:
    """Raises a gevent.Timeout if a request does not begin in time, or its head is not complete in time."""

    def __init__(self, idle_seconds: float, head_seconds: float) -> None:
        self._head_seconds = head_seconds
        self._greenlet = gevent.getcurrent()
        self.timeout = gevent.Timeout.start_new(idle_seconds)
        self.is_idle = True

    def begin(self) -> None:
        """Start the deadline of the head: its first byte has arrived."""
        if self.is_idle:
            self.close()
            self.timeout = gevent.Timeout.start_new(self._head_seconds)

    def expire(self) -> None:
        """Raise the timeout now, unless a request has begun. Only the event loop calls this."""
        if self.is_idle:
            self._greenlet.throw(self.timeout)

    def close(self) -> None:
        self.is_idle = False
        self.timeout.close()


class Connection:
    """The socket of a client, which notices the first byte of a request."""

    head: HeadTimeout | None = None
    """While the client's next request is awaited."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock

    def recv(self, size: int, flags: int = 0) -> bytes:
        data: bytes = self._sock.recv(size, flags)
        if self.head is not None:
            self.head.begin()
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


@dataclass(frozen=True)
class Port:
    """The address of a port, for connections that are handled after it is closed."""

    address: tuple[Any, ...]

    def getsockname(self) -> tuple[Any, ...]:
        return self.address


class Server(StreamServer):  # type: ignore[misc]
    """A port whose end resets no connection."""

    def close(self) -> None:
        """Take the connections that wait in the kernel, and close the port. Their clients may have sent a request."""
        # Such as too many open files: what is open is served all the same.
        with suppress(OSError):
            while not self.closed and not self.full() and (connection := self.do_read()):
                self.do_handle(*connection)
        super().close()


class Worker(GeventWorker):  # type: ignore[misc]
    """A process that serves each connection in a greenlet."""

    def server_class(self, listener: Any, *, spawn: Any, **_: Any) -> Server:
        """Return the server of a port. gunicorn's own closes the port at once."""
        server = Server(listener, handle=partial(self.handle, Port(listener.getsockname())), spawn=spawn)
        if self.cfg.workers > 1:
            server.max_accept = 1  # as in gunicorn: several processes share the connections
        return server

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._current = local()
        self._heads: set[HeadTimeout] = set()

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        self._current.connection = Connection(client)
        super().handle(listener, self._current.connection, addr)

    @contextmanager
    def timeout_ctx(self) -> Iterator[None]:
        """Return the context in which gunicorn reads the next head. After a timeout it closes the connection."""
        connection = self._current.connection
        head = HeadTimeout(self.cfg.keepalive if self.alive else DRAIN_SECONDS, settings().request_read_timeout_seconds)
        connection.head = head
        self._heads.add(head)
        try:
            yield
        except gevent.Timeout as error:
            if error is not head.timeout:
                raise
            was_idle = head.is_idle
            head.close()
            if was_idle and not self.alive:
                self._dismiss(connection)
        finally:
            connection.head = None
            self._heads.discard(head)
            head.close()

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> None:
        super().handle_request(listener_name, req, sock, addr)
        # gunicorn reads the rest of a body while it waits for the next head. It is no part of that head.
        is_complete = False
        with gevent.Timeout(settings().request_read_timeout_seconds, False):
            while req.body.read(8_192):
                pass
            is_complete = True
        if not is_complete:
            raise StopIteration  # gunicorn then closes the connection

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # The event loop may run this handler, and the loop itself cannot wait for a lock.
        gevent.spawn(self._drain, sig, frame)

    def _drain(self, sig: int, frame: FrameType | None) -> None:
        """Report that the process stops, and serve everything until proxies have noticed. Then accept no connection.

        Close WebSockets and answer waiting requests at that time, and close idle connections later. Until then, the
        next request of each connection is served, and its response closes the connection.
        """
        from web.realtime import fanout  # noqa: PLC0415 - after the fork

        running = getattr(self.app.wsgi(), "extensions", {}).get(fanout.EXTENSION)
        if running is not None:
            running.is_accepting = False
        gevent.sleep(settings().shutdown_notice_seconds)
        super().handle_exit(sig, frame)
        if running is not None:
            running.close()
        gevent.sleep(CLOSE_SECONDS)
        if running is not None:
            running.disconnect_all()
        gevent.sleep(DRAIN_SECONDS - CLOSE_SECONDS)
        loop = gevent.get_hub().loop
        for head in self._heads:
            loop.run_callback(head.expire)

    @staticmethod
    def _dismiss(connection: Connection) -> None:
        """Close an idle connection so that a request that the client sends meanwhile gets a response, not a reset."""
        with suppress(OSError):
            connection.sendall(DRAINING)
            close_graceful(connection, LINGER_SECONDS)
