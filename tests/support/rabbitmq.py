"""Debian's RabbitMQ on 127.0.0.1, without the privileges of its package."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pika
import psutil
import pytest
from pika.exceptions import AMQPError

from script.stack.embedded_store import EmbeddedStore
from script.stack.files import kept_secret, private_directory, temporary_directory
from script.stack.ports import LOOPBACK, free_port
from script.stack.process import Account, Command, kill_group
from shared.messages import Message
from tests.support.certificates import self_signed_certificate

PROGRAMS = Path("/usr/lib/rabbitmq/bin")
needs_rabbitmq = pytest.mark.skipif(
    not (PROGRAMS / "rabbitmq-server").exists(),
    reason="rabbitmq-server is not installed here (apt-get install rabbitmq-server)",
)

QUEUES = {message.queue for message in Message.__subclasses__()}

CONFIG = """
listeners.tcp.1 = {address}:{port}
listeners.ssl.1 = {address}:{tls_port}
ssl_options.cacertfile = {certificate}
ssl_options.certfile = {certificate}
ssl_options.keyfile = {certificate}
default_user = waymark
default_pass = {password}
loopback_users = none
disk_free_limit.absolute = 1MB
log.file = false
log.console = true
cluster_formation.peer_discovery_backend = classic_config
cluster_formation.classic_config.nodes.1 = {first}
net_ticktime = 10
"""


class ErlangHost:
    """What the nodes of a cluster on this host share: a port mapper, the home of Erlang's cookie, and a password."""

    def __init__(self, home: Path) -> None:
        self.home, self.mapper_port = home, free_port()
        self.account = Account.nobody() if os.geteuid() == 0 else None
        self.password = kept_secret(home / "password")
        self.certificate = self_signed_certificate(home)
        if self.account:
            for each in (home, self.certificate):
                os.chown(each, self.account.uid, self.account.gid)
        mapper = Command(
            (shutil.which("epmd") or "epmd", "-address", LOOPBACK, "-port", str(self.mapper_port)),
            account=self.account,
            environment=self.environment,
        )
        self._mapper = subprocess.Popen(mapper.leashed(), cwd="/", start_new_session=True)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(self.home),
            "ERL_EPMD_ADDRESS": LOOPBACK,
            "ERL_EPMD_PORT": str(self.mapper_port),
        }

    def close(self) -> None:
        kill_group(self._mapper.pid)
        self._mapper.wait()


class RabbitServer(EmbeddedStore):
    """A node. Its first start joins the cluster of the node `first`, which is its own name in a new cluster."""

    name = "rabbitmq"

    def __init__(self, host: ErlangHost, node: str, first: str) -> None:
        self.host, self.node, self._first = host, f"{node}@localhost", f"{first}@localhost"
        self.data = host.home / node
        self.port, self.tls_port, self._distribution_port = free_port(), free_port(), free_port()

    @property
    def url(self) -> str:
        return self.url_of("%2F")

    @property
    def tls_url(self) -> str:
        return self.url.replace("amqp:", "amqps:").replace(str(self.port), str(self.tls_port))

    def url_of(self, virtual_host: str) -> str:
        return f"amqp://waymark:{self.host.password}@{LOOPBACK}:{self.port}/{virtual_host}"

    def prepare(self) -> None:
        private_directory(self.data)
        (self.data / "plugins").write_text("[].")
        (self.data / "rabbitmq.conf").write_text(
            CONFIG.format(
                address=LOOPBACK,
                port=self.port,
                tls_port=self.tls_port,
                certificate=self.host.certificate,
                password=self.host.password,
                first=self._first,
            )
        )
        if self.host.account:
            os.chown(self.data, self.host.account.uid, self.host.account.gid)

    def command(self) -> Command:
        return Command(
            (str(PROGRAMS / "rabbitmq-server"),),
            account=self.host.account,
            environment=self._environment,
            directory=self.data,
        )

    def problem(self) -> str | None:
        try:
            pika.BlockingConnection(pika.URLParameters(f"{self.url}?socket_timeout=2&stack_timeout=2")).close()
        except AMQPError as error:
            return repr(error)
        return None

    def kill(self) -> None:
        """SIGKILL the node, as a machine that dies. `start` starts it again on its data."""
        assert self._process is not None
        kill_group(self._process.pid)
        self._process.wait()
        self._process = None

    def stop(self) -> None:
        if self._process is not None:
            self.kill()

    @property
    def pids(self) -> list[int]:
        assert self.pid is not None
        leader = psutil.Process(self.pid)
        return [leader.pid, *(child.pid for child in leader.children(recursive=True))]

    def purge(self) -> None:
        """Delete all queues."""
        with closing(pika.BlockingConnection(pika.URLParameters(self.url))) as connection:
            for queue in QUEUES:
                connection.channel().queue_delete(queue)

    def control(self, *arguments: str) -> str:
        """Run rabbitmqctl. Return what it printed."""
        command = Command((str(PROGRAMS / "rabbitmqctl"), "--quiet", *arguments), account=self.host.account)
        outcome = subprocess.run(
            command.leashed(), cwd="/", env=self._environment, capture_output=True, text=True, timeout=60
        )
        assert outcome.returncode == 0, outcome.stderr
        return outcome.stdout

    @property
    def _environment(self) -> dict[str, str]:
        return self.host.environment | {
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_MNESIA_BASE": str(self.data / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.data),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_CONFIG_FILE": str(self.data / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.data / "plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none",
        }


@contextmanager
def rabbit_cluster(*names: str) -> Iterator[list[RabbitServer]]:
    """Run a cluster of nodes with these names. The second and later ones join the first."""
    with temporary_directory("waymark-rabbitmq-") as home, closing(ErlangHost(home)) as host, ExitStack() as stack:
        yield [stack.enter_context(RabbitServer(host, name, names[0])) for name in names]


@contextmanager
def rabbit_server() -> Iterator[RabbitServer]:
    with rabbit_cluster("waymark") as (server,):
        yield server
