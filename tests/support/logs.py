"""The logging of a test process, restored after tests that configure it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import structlog


@contextmanager
def restored_logging() -> Iterator[None]:
    """Restore the configuration of structlog and of the root logger at the end."""
    root = logging.getLogger()
    was_configured, config = structlog.is_configured(), structlog.get_config()
    handlers, level = root.handlers[:], root.level
    try:
        yield
    finally:
        if was_configured:
            structlog.configure(**config)
        else:
            structlog.reset_defaults()
        root.handlers[:] = handlers
        root.setLevel(level)
