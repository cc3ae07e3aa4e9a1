"""A master, a replica and three sentinels on 127.0.0.1: Redis, or Valkey from PATH."""

import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import redis

from script.stack.files import open_log, temporary_directory
from script.stack.ports import LOOPBACK, free_port
from script.stack.process import Command, kill_group
from tests.support.polling import eventually

MASTER = "mymaster"

SERVER = """
bind {address}
port {port}
dir {folder}
save ""
requirepass {password}
masterauth {password}
repl-diskless-sync-delay 0
"""

# A failover takes about two seconds: one until the master counts as down, and one for the election.
SENTINEL = """
bind {address}
port {port}
dir {folder}
requirepass {sentinel_password}
sentinel sentinel-pass {sentinel_password}
sentinel monitor {master} {address} {master_port} 2
sentinel auth-pass {master} {password}
sentinel down-after-milliseconds {master} 1000
sentinel failover-timeout {master} 3000
"""


class RedisNode:
    """A process of Redis."""

    def __init__(self, binary: Path, folder: Path, config: str, *arguments: str) -> None:
        folder.mkdir()
        (folder / "redis.conf").write_text(config)
        command = Command((str(binary), str(folder / "redis.conf"), *arguments), directory=folder)
        with open_log(folder / "log") as log:
            self.process = subprocess.Popen(
                command.leashed(), cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def kill(self) -> None:
        kill_group(self.process.pid)
        self.process.wait()


class SentinelCluster:
    """The processes. `nodes` are the servers by port."""

    def __init__(self, binary: Path, data: Path) -> None:
        self._binary, self._data = binary, data
        self._password, self._sentinel_password = secrets.token_hex(16), secrets.token_hex(16)
        self.ports = [free_port(), free_port()]
        self.sentinel_ports: list[int] = []
        self.nodes: dict[int, RedisNode] = {}
        self.sentinels: list[RedisNode] = []

    @property
    def url(self) -> str:
        hosts = ",".join(f"{LOOPBACK}:{port}" for port in self.sentinel_ports)
        return f"redis+sentinel://:{self._password}@{hosts}/{MASTER}/0?sentinel_password={self._sentinel_password}"

    def start(self) -> None:
        """Start all, and wait until every sentinel knows the replica and the other sentinels."""
        self.start_node(self.ports[0])
        self.start_node(self.ports[1], replica_of=self.ports[0])
        eventually(lambda: self._info(self.ports[1]).get("master_link_status") == "up")
        for number in range(3):
            self.sentinel_ports.append(port := free_port())
            config = SENTINEL.format(
                address=LOOPBACK,
                port=port,
                folder=self._data / f"sentinel{number}",
                master=MASTER,
                master_port=self.ports[0],
                password=self._password,
                sentinel_password=self._sentinel_password,
            )
            self.sentinels.append(RedisNode(self._binary, self._data / f"sentinel{number}", config, "--sentinel"))
        for port in self.sentinel_ports:
            eventually(lambda port=port: self._is_complete(port))  # type: ignore[misc]

    def start_node(self, port: int, replica_of: int | None = None) -> None:
        """Start a server, empty, as a master or a replica."""
        folder = self._data / f"server{port}-{secrets.token_hex(4)}"
        config = SERVER.format(address=LOOPBACK, port=port, folder=folder, password=self._password)
        if replica_of is not None:
            config += f"replicaof {LOOPBACK} {replica_of}\n"
        self.nodes[port] = RedisNode(self._binary, folder, config)
        eventually(lambda: self._info(port))

    def master_port(self) -> int:
        """Return the port of the master that a sentinel names."""
        with self._sentinel(self.sentinel_ports[0]) as sentinel:
            return int(sentinel.sentinel_get_master_addr_by_name(MASTER)[1])

    def await_failover(self, old: int) -> None:
        """Return once the sentinels name another master, which is one."""
        eventually(lambda: self.master_port() != old)
        eventually(lambda: self._info(self.master_port()).get("role") == "master")

    def await_replica(self, port: int) -> None:
        """Return once the server replicates the master."""
        eventually(lambda: self._info(port).get("master_link_status") == "up")
        eventually(lambda: all(self._is_complete(each) for each in self.sentinel_ports))

    def stop(self) -> None:
        for node in (*self.sentinels, *self.nodes.values()):
            node.kill()

    def _info(self, port: int) -> dict[str, str]:
        with (
            suppress(redis.RedisError),
            redis.Redis(LOOPBACK, port, password=self._password, socket_timeout=1, socket_connect_timeout=1) as client,
        ):
            found: dict[str, str] = client.info("replication")
            return found
        return {}

    def _is_complete(self, port: int) -> bool:
        with suppress(redis.RedisError, KeyError), self._sentinel(port) as sentinel:
            master = sentinel.sentinel_masters()[MASTER]
            replicas = sentinel.sentinel_slaves(MASTER)
            is_up = all(not (replica["is_sdown"] or replica["is_disconnected"]) for replica in replicas)
            return bool(replicas and is_up and master["num-other-sentinels"] == 2 and not master["is_sdown"])
        return False

    def _sentinel(self, port: int) -> "redis.Redis":
        return redis.Redis(LOOPBACK, port, password=self._sentinel_password, socket_timeout=1)


@contextmanager
def sentinel_cluster(binary: Path) -> Iterator[SentinelCluster]:
    with temporary_directory("waymark-sentinel-") as data:
        cluster = SentinelCluster(binary, data)
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()
