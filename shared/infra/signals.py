"""SIGTERM and SIGINT as an event."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


def stop_event() -> threading.Event:
    """Return an event that is set when the process receives SIGTERM or SIGINT."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    return stopping


@contextmanager
def stopping_on_signals() -> Iterator[threading.Event]:
    """Yield an event as `stop_event` returns it. At the end, the process handles the signals as before."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop_event()
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
