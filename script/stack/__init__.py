"""What a single machine needs to run Waymark: an embedded PostgreSQL and Redis, and a supervisor for the processes.

    from script.stack import temporary_postgres, temporary_redis      # a test run's stores
    with temporary_postgres() as postgres, temporary_redis() as redis:
        postgres.url, redis.url

    from script.stack import running_server                           # demo and system tests
    with running_server(env={"WORKER_PROCESSES": "2"}) as server:
        server.base_url, server.urls["DATABASE_URL"], server.pids("worker")

Only `script/`, `tests/` and `bench/` import this package; web, workers and shared know nothing but DATABASE_URL and
REDIS_URL.
"""

from script.stack.embedded_store import StoreError
from script.stack.postgres import EmbeddedPostgres, temporary_postgres
from script.stack.redis import EmbeddedRedis, temporary_redis
from script.stack.running_server import RunningServer, running_server

__all__ = [
    "EmbeddedPostgres",
    "EmbeddedRedis",
    "RunningServer",
    "StoreError",
    "running_server",
    "temporary_postgres",
    "temporary_redis",
]
