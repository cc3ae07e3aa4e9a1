"""The code of both web and workers: rules (pure), stores (SQL), messages, clients of PostgreSQL and Redis."""
