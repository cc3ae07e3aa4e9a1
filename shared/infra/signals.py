"""SIGTERM and SIGINT as an event that a process's loop waits on."""

import signal
import threading


def stop_event() -> threading.Event:
    """An event that is set when the process is asked to stop."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    return stopping
