"""What `dramatiq workers.main` loads: the broker first, then every actor."""

from workers.broker import worker_broker as broker

from workers import accounts, analytics, cleanup, images, imports, renders, scans  # isort: skip

__all__ = ["accounts", "analytics", "broker", "cleanup", "images", "imports", "renders", "scans"]
