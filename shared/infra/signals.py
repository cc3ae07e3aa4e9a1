"""SIGTERM and SIGINT as an event."""

import signal
import threading


def stop_event() -> threading.Event:
    """Return an event that is set when the process receives SIGTERM or SIGINT."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    return stopping
