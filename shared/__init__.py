"""What web and workers share: rules (pure), stores (SQL), messages, and the clients of PostgreSQL and Redis."""
