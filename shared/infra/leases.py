"""Leases: a worker's time-limited right to a row, fenced by a token."""


class LeaseLost(Exception):
    """Another worker holds the lease, or the row needs no more work."""
