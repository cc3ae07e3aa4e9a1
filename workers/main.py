"""The module that `dramatiq workers.main` loads: the broker first, then every actor."""

from workers.broker import worker_broker as broker

from workers import analytics, cleanup, erasure, generated_codes, imports, renders, scans  # isort: skip

__all__ = ["analytics", "broker", "cleanup", "erasure", "generated_codes", "imports", "renders", "scans"]
