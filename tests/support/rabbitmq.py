"""Debian's RabbitMQ on 127.0.0.1, without the privileges of its package."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pika
import pytest
from pika.exceptions import AMQPError

from script.stack.embedded_store import EmbeddedStore
from script.stack.files import kept_secret, temporary_directory
from script.stack.ports import LOOPBACK, free_port
from script.stack.process import Account, Command, kill_group
from shared.messages import Message

PROGRAMS = Path("/usr/lib/rabbitmq/bin")
needs_rabbitmq = pytest.mark.skipif(
    not (PROGRAMS / "rabbitmq-server").exists(),
    reason="rabbitmq-server is not installed here (apt-get install rabbitmq-server)",
)

QUEUES = {message.queue for message in Message.__subclasses__()}

CONFIG = """
listeners.tcp.1 = {address}:{port}
default_user = waymark
default_pass = {password}
loopback_users = none
disk_free_limit.absolute = 1MB
log.file = false
log.console = true
"""


class RabbitServer(EmbeddedStore):
    """A node with its own port mapper, which ends with it."""

    name = "rabbitmq"

    def __init__(self, data: Path) -> None:
        self.data = data
        self.port, self._mapper_port, self._distribution_port = free_port(), free_port(), free_port()
        self._account = Account.nobody() if os.geteuid() == 0 else None
        self.password = ""
        self._mapper: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"amqp://waymark:{self.password}@{LOOPBACK}:{self.port}/%2F"

    def prepare(self) -> None:
        self.password = kept_secret(self.data / "password")
        (self.data / "plugins").write_text("[].")
        (self.data / "rabbitmq.conf").write_text(
            CONFIG.format(address=LOOPBACK, port=self.port, password=self.password)
        )
        if self._account:
            os.chown(self.data, self._account.uid, self._account.gid)
        if self._mapper is None:
            mapper = Command(
                (shutil.which("epmd") or "epmd", "-address", LOOPBACK, "-port", str(self._mapper_port)),
                account=self._account,
                environment=self._environment,
            )
            self._mapper = subprocess.Popen(mapper.leashed(), cwd="/", start_new_session=True)

    def command(self) -> Command:
        return Command(
            (str(PROGRAMS / "rabbitmq-server"),),
            account=self._account,
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
        if self._mapper is not None:
            kill_group(self._mapper.pid)
            self._mapper.wait()
            self._mapper = None

    def purge(self) -> None:
        """Delete all queues."""
        with closing(pika.BlockingConnection(pika.URLParameters(self.url))) as connection:
            for queue in QUEUES:
                connection.channel().queue_delete(queue)

    def control(self, *arguments: str) -> str:
        """Run rabbitmqctl. Return what it printed."""
        command = Command((str(PROGRAMS / "rabbitmqctl"), "--quiet", *arguments), account=self._account)
        outcome = subprocess.run(
            command.leashed(), cwd="/", env=self._environment, capture_output=True, text=True, timeout=60
        )
        assert outcome.returncode == 0, outcome.stderr
        return outcome.stdout

    @property
    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(self.data),
            "ERL_EPMD_ADDRESS": LOOPBACK,
            "ERL_EPMD_PORT": str(self._mapper_port),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_NODENAME": "waymark@localhost",
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_MNESIA_BASE": str(self.data / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.data),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_CONFIG_FILE": str(self.data / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.data / "plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none",
        }


@contextmanager
def rabbit_server() -> Iterator[RabbitServer]:
    with temporary_directory("waymark-rabbitmq-") as data, RabbitServer(data) as server:
        yield server
