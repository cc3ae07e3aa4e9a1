"""Clusters of two major versions of PostgreSQL, and the processes that use one of them."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import websocket

from script.stack.ports import LOOPBACK
from script.stack.running_server import CHECKOUT
from tests.support.callers import SignedInPlayer
from tests.support.database import table_names
from tests.support.gunicorn_server import is_alive
from tests.support.polling import eventually
from tests.upgrade.installation import Installation, ReleaseProcess

OLD = Path("/usr/lib/postgresql/15/bin")
NAMES = ("web", "worker", "bulk", "scheduler", "relay")

Run = Callable[..., None]


class Cluster:
    """A cluster and the programs of its version."""

    def __init__(self, binaries: Path, directory: Path, port: int, run: Run) -> None:
        self.binaries, self.directory, self._port, self._run = binaries, directory, port, run
        self.url = self.url_of("waymark", "", "postgres")

    def url_of(self, user: str, password: str, database: str) -> str:
        return f"postgresql://{user}:{password}@{LOOPBACK}:{self._port}/{database}"

    def create(self, *options: str) -> None:
        """Create it with the superuser `waymark` and without passwords, unless the options say otherwise."""
        base = ("-U", "waymark", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", *options)
        self._run(self.binaries / "initdb", "-D", self.directory, *base)

    def start(self, *options: str) -> None:
        listening = f"-p {self._port} -k '' -c listen_addresses={LOOPBACK}"
        self._run(
            *(self.binaries / "pg_ctl", "start", "-w", "-D", self.directory, "-l", f"{self.directory}.log"),
            *("-o", " ".join([listening, *options])),
        )

    def stop(self) -> None:
        self._run(self.binaries / "pg_ctl", "stop", "-w", "-m", "fast", "-D", self.directory)


@contextmanager
def running_cluster(cluster: Cluster, *options: str) -> Iterator[None]:
    """Run the server of a cluster with these options until the context ends."""
    cluster.start(*options)
    try:
        yield
    finally:
        cluster.stop()


def start_processes(running: Installation, port: int) -> list[ReleaseProcess]:
    """Start every process type, wait until web answers, and return the processes. Web is the first."""
    started = {name: running.start(CHECKOUT, name, PORT=str(port)) for name in NAMES}
    eventually(lambda: is_alive(port))
    for name in ("scheduler", "relay"):
        started[name].until_it_says("leader_elected")
    return list(started.values())


def count_rows(conn: psycopg.Connection) -> dict[str, int]:
    return {table: conn.execute(f"SELECT FROM {table}").rowcount for table in table_names(conn)}


def first_event(base_url: str, player: SignedInPlayer, since: str) -> str:
    """Return the first event of a socket that resumes."""
    url = f"ws{base_url.removeprefix('http')}/ws/{player.id}?since={since}"
    socket = websocket.create_connection(url, header=player.headers, timeout=60)
    try:
        return str(json.loads(socket.recv())["event"])
    finally:
        socket.close()
