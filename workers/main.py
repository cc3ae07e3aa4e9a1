"""What `dramatiq workers.main` loads: the broker first, then every actor."""

from workers.broker import worker_broker as broker

from workers import cleanup, images, renders, scans  # isort: skip

__all__ = ["broker", "cleanup", "images", "renders", "scans"]
