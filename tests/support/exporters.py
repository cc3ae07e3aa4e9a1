"""The exporters of Debian in front of real stores."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from script.stack.files import open_log
from script.stack.ports import LOOPBACK, free_port
from tests.support.rabbitmq import RabbitServer

POSTGRES, REDIS = "prometheus-postgres-exporter", "prometheus-redis-exporter"
QUERIES = Path("/usr/share/doc/prometheus-postgres-exporter/examples/queries.yaml")
needs_exporters = pytest.mark.skipif(
    not (shutil.which(POSTGRES) and shutil.which(REDIS)),
    reason=f"exporters are not installed (apt-get install {POSTGRES} {REDIS})",
)


@contextmanager
def exporter(name: str, directory: Path, *options: str, **environment: str) -> Iterator[str]:
    """Run an exporter. Yield its address."""
    address = f"{LOOPBACK}:{free_port()}"
    with open_log(directory / f"{name}-{address}.log") as log:
        argv = [name, f"--web.listen-address={address}", *options]
        process = subprocess.Popen(argv, env={**os.environ, **environment}, stdout=log, stderr=log)
    try:
        yield address
    finally:
        process.kill()
        process.wait()


@contextmanager
def postgres_exporters(directory: Path, *database_urls: str) -> Iterator[list[str]]:
    """Run one for each server, as docs/monitoring.md configures them. Yield their addresses.

    From 0.13 on, the exporter has the queries of the file itself.
    """
    options = [f"--extend.query-path={QUERIES}"] if QUERIES.exists() else []
    with ExitStack() as stack:
        yield [
            stack.enter_context(exporter(POSTGRES, directory, *options, DATA_SOURCE_NAME=f"{url}?sslmode=disable"))
            for url in database_urls
        ]


class MeasuredRabbitServer(RabbitServer):
    """A node with the plugin rabbitmq_prometheus, as docs/monitoring.md configures it."""

    def prepare(self) -> None:
        super().prepare()
        self.metrics_port = free_port()
        (self.data / "plugins").write_text("[rabbitmq_prometheus].")
        with (self.data / "rabbitmq.conf").open("a") as config:
            config.write(f"prometheus.tcp.ip = {LOOPBACK}\nprometheus.tcp.port = {self.metrics_port}\n")
            config.write("prometheus.return_per_object_metrics = true\n")
