"""What a benchmark runs on: stores of its own, as durable as script/server's, and the processes under test."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import alembic.command
import psycopg

from migrations import config
from script.stack import EmbeddedPostgres, EmbeddedRedis
from script.stack.files import open_log, temporary_directory
from script.stack.ports import LOOPBACK, free_port
from script.stack.postgres import DATABASE
from script.stack.process import Command, kill_group
from shared.infra import db
from shared.infra.db import Conn

CHECKOUT = Path(__file__).resolve().parents[1]
READY_SECONDS = 30.0
STOP_SECONDS = 15.0
MINE = (
    "DATABASE_URL",
    "REDIS_URL",
    "FILES_DIR",
    "JWT_SECRET",
    "WEB_CONCURRENCY",
    "LOG_FORMAT",
    "WAYMARK_ENV",
    "RATE_LIMITS_ENABLED",  # no rival has any
)


def scaled(size: int, scale: float, minimum: int = 1) -> int:
    """Return the part of a size that `--scale` asks for."""
    return max(minimum, round(size * scale))


@dataclass(frozen=True)
class Stack:
    """A directory for logs, and a database for each side; they share the servers."""

    data: Path
    rival_url: str

    def rival(self) -> psycopg.Connection[tuple[Any, ...]]:
        """A connection to the rival's database."""
        return psycopg.connect(self.rival_url, autocommit=True)


@contextmanager
def stack(prepare: Callable[[Conn], None]) -> Iterator[Stack]:
    """PostgreSQL (fsync on, synchronous commits) and Redis (append-only), in place of any that this process's
    environment names: a benchmark never changes stores in use. The rival's database is a copy of the prepared one.
    """
    with ExitStack() as exits:
        data = exits.enter_context(temporary_directory("waymark-bench-"))
        postgres, redis = EmbeddedPostgres(data / "postgres"), EmbeddedRedis(data / "redis")
        exits.callback(postgres.destroy)
        exits.enter_context(postgres)
        exits.enter_context(redis)
        files, secret = str(data / "files"), secrets.token_hex(32)
        mine = (postgres.url, redis.url, files, secret, "1", "json", "development", "false")
        os.environ.update(zip(MINE, mine, strict=True))
        alembic.command.upgrade(config(), "head")
        with psycopg.connect(postgres.url, autocommit=True) as conn:
            prepare(conn)
        with psycopg.connect(postgres.url_of("postgres"), autocommit=True) as conn:
            conn.execute(f"CREATE DATABASE rival TEMPLATE {DATABASE}")
        exits.callback(db.close_pool)
        yield Stack(data, postgres.url_of("rival"))


@contextmanager
def running(data: Path, name: str, *argv: str, **environment: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A process under test, stopped in the end, by force if it must. Its output goes to a file."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    full = {**os.environ, "PATH": path, "PYTHONPATH": str(CHECKOUT), **environment}
    with open_log(data / f"{name}.log") as log:
        process = subprocess.Popen(
            Command(argv, environment=full, directory=CHECKOUT).leashed(),
            cwd=CHECKOUT,
            env=full,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        kill_group(process.pid)


@contextmanager
def serving(data: Path, name: str, application: str, **environment: str) -> Iterator[int]:
    """gunicorn with the settings that web has, one process, serving `application`. Gives its port."""
    port = free_port()
    command = ("gunicorn", "--config", "web/gunicorn_conf.py", application)
    with running(data, name, *command, PORT=str(port), **environment) as process:
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                socket.create_connection((LOOPBACK, port), timeout=1).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    sys.exit(f"{name} did not start:\n{(data / f'{name}.log').read_text()[-2000:]}")
                time.sleep(0.05)
        yield port
