"""Infrastructure that any service has: PostgreSQL, Redis, cache, event log, leases, logging."""
