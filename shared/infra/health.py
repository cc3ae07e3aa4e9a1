"""Readiness of the dependencies. `python -m shared.infra.health` exits 0 if all are ready, else prints the others."""

import sys
from pathlib import Path

import psycopg
import psycopg_pool
import redis

from shared.infra import db
from shared.infra.message_sender import broker
from shared.infra.redis import client

VERSIONS = Path(__file__).parents[2] / "migrations" / "versions"


def required_migration() -> str:
    """Return the migration that this code needs: the last of the numbered files. Does not load Alembic."""
    return max(path.name.partition("_")[0] for path in VERSIONS.glob("[0-9]*_*.py"))


def unready_dependencies() -> list[str]:
    """Return the names of the dependencies that are not ready, of: postgresql, migrations, redis, broker."""
    return [name for name, is_ready in (*_check_database().items(), *_check_redis().items()) if not is_ready]


def _check_database() -> dict[str, bool]:
    try:
        with db.connection() as conn:
            row = conn.execute("SELECT version_num FROM alembic_version").fetchone()
    except psycopg.errors.UndefinedTable:
        return {"postgresql": True, "migrations": False}
    except (psycopg.OperationalError, psycopg_pool.PoolTimeout):
        return {"postgresql": False, "migrations": False}
    return {"postgresql": True, "migrations": row is not None and row[0] == required_migration()}


def _check_redis() -> dict[str, bool]:
    try:
        client().ping()
        broker().client.ping()
    except redis.RedisError:
        return {"redis": False, "broker": False}
    return {"redis": True, "broker": True}


if __name__ == "__main__":
    unready = unready_dependencies()
    db.close_pool()
    sys.exit(f"not ready: {', '.join(unready)}" if unready else 0)
