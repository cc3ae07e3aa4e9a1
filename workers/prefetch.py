"""How many messages of a queue a process takes at a time."""

from shared.messages import ScansPending

LIMITS = {ScansPending.queue: 2}
"""Messages that come meanwhile are taken together, or by another process: large batches of scans cost less."""


def prefetch_limit(queue: str, prefetch: int) -> int:
    """Return the limit of the queue, or what Dramatiq would take."""
    return min(prefetch, LIMITS.get(queue, prefetch))
