"""Readiness of the dependencies. `python -m shared.infra.health` exits 0 if all are ready, else prints the others."""

import argparse
import logging
import sys
import time
from collections.abc import Callable, Collection
from pathlib import Path

import psycopg
import psycopg_pool
import redis

from shared.infra import db
from shared.infra.broker import broker_answers
from shared.infra.redis import client
from shared.infra.storage import marker

DEPENDENCIES = ("postgresql", "migrations", "redis", "broker", "files")
STORES = DEPENDENCIES[:-1]
"""What every process needs. Only web and bulk use files."""
RETRY_SECONDS = 1.0
VERSIONS = Path(__file__).parents[2] / "migrations" / "versions"


def required_migration() -> str:
    """Return the migration that this code needs: the last of the numbered files. Does not load Alembic."""
    return max(path.name.partition("_")[0] for path in VERSIONS.glob("[0-9]*_*.py"))


def check_database() -> dict[str, bool]:
    """Return whether PostgreSQL answers, and whether this code can use its schema.

    A rolling deployment migrates before it replaces the processes, so their schema is ahead until then. A migration
    that removes what older code needs raises the floor above that code.
    """
    try:
        with db.connection() as conn:
            # The highest of several floors counts. Without a row, there is none.
            row = conn.execute(
                """
                SELECT version_num::integer, (SELECT coalesce(max(code), 0) FROM schema_floor) FROM alembic_version
                """
            ).fetchone()
    except psycopg.errors.UndefinedTable:
        return {"postgresql": True, "migrations": False}
    except (psycopg.OperationalError, psycopg_pool.PoolTimeout):
        return {"postgresql": False, "migrations": False}
    return {"postgresql": True, "migrations": row is not None and row[0] >= int(required_migration()) >= row[1]}


def check_redis() -> dict[str, bool]:
    """Return whether Redis answers."""
    try:
        client().ping()
    except redis.RedisError:
        return {"redis": False}
    return {"redis": True}


def check_broker() -> dict[str, bool]:
    """Return whether the broker of messages answers: the same Redis, unless BROKER_URL names another server."""
    return {"broker": broker_answers()}


def check_files() -> dict[str, bool]:
    """Return whether this process has the directory for files that the installation uses."""
    return {"files": marker.check()}


Check = Callable[[], dict[str, bool]]


def unready_dependencies(
    only: Collection[str],
    *,
    database: Check = check_database,
    redis: Check = check_redis,
    broker: Check = check_broker,
    files: Check = check_files,
) -> list[str]:
    """Return the names in `only` that are not ready. Contact only the stores that these names need."""
    is_ready: dict[str, bool] = {}
    if not {"postgresql", "migrations"}.isdisjoint(only):
        is_ready |= database()
    if "redis" in only:
        is_ready |= redis()
    if "broker" in only:
        is_ready |= broker()
    if "files" in only:
        is_ready |= files()
    return [name for name in DEPENDENCIES if name in only and not is_ready[name]]


def dependency_names(text: str) -> tuple[str, ...]:
    """Return the names in a list separated by commas. Raise ValueError if one is not a dependency."""
    names = tuple(text.split(","))
    if not set(names).issubset(DEPENDENCIES):
        raise ValueError(f"Use names of {', '.join(DEPENDENCIES)}, separated by commas.")
    return names


def main(arguments: list[str]) -> str | None:
    """Return None if the dependencies are or become ready, else a message that names the others."""
    parser = argparse.ArgumentParser(prog="python -m shared.infra.health", description="Check the dependencies.")
    parser.add_argument("--only", type=_names, default=STORES, metavar="NAMES", help="default: all but files")
    parser.add_argument("--wait", type=float, default=0, metavar="SECONDS", help="retry for this long; default: 0")
    options = parser.parse_args(arguments)
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)  # one line names what is not ready
    deadline = time.monotonic() + options.wait
    try:
        while unready := unready_dependencies(options.only):
            if time.monotonic() >= deadline:
                return f"not ready: {', '.join(unready)}"
            time.sleep(RETRY_SECONDS)
    finally:
        db.close_pool()
    return None


def _names(text: str) -> tuple[str, ...]:
    try:
        return dependency_names(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
