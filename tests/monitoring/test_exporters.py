"""Real exporters of real stores have the metrics that the panels and alerts of stores name."""

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import pika
import psycopg
import pytest
import redis
import yaml

from script.stack.files import temporary_directory
from script.stack.running_server import CHECKOUT
from tests.monitoring.expressions import dashboard_expressions, without_data
from tests.support.exporters import REDIS, MeasuredRabbitServer, exporter, needs_exporters, postgres_exporters
from tests.support.polling import eventually
from tests.support.prometheus import Prometheus, needs_prometheus, running_prometheus
from tests.support.rabbitmq import QUEUES, ErlangHost, needs_rabbitmq
from tests.support.replica import streaming_replica

pytestmark = [pytest.mark.long, needs_prometheus, needs_exporters, needs_rabbitmq]

RULES = CHECKOUT / "monitoring" / "rules" / "stores.yml"
OF_EXPORTERS = re.compile(r"\b(pg|redis|rabbitmq)_")
THRESHOLD = re.compile(r" [<>=]+ [\d.]+$")


def scrape_configs() -> list[dict[str, Any]]:
    """Return the configuration that docs/monitoring.md shows."""
    text = (CHECKOUT / "docs" / "monitoring.md").read_text()
    (block,) = re.findall(r"```yaml\n(.*?)```", text.partition("## Stores")[2], re.DOTALL)
    configs: list[dict[str, Any]] = yaml.safe_load(block)
    return configs


@pytest.fixture(scope="module")
def rabbitmq() -> Iterator[MeasuredRabbitServer]:
    """A node that has each queue of Waymark, and a consumer of one."""
    with (
        temporary_directory("waymark-rabbitmq-") as home,
        closing(ErlangHost(home)) as host,
        MeasuredRabbitServer(host, "measured", "measured") as server,
        closing(pika.BlockingConnection(pika.URLParameters(server.url))) as connection,
    ):
        channel = connection.channel()
        for queue in QUEUES:
            channel.queue_declare(queue, durable=True)
        channel.basic_consume("scans", lambda *_: None)
        yield server


@pytest.fixture(scope="module")
def prometheus(rabbitmq: MeasuredRabbitServer) -> Iterator[Prometheus]:
    """A Prometheus that scrapes the exporters of a primary with a replica and an unused slot, of Redis and RabbitMQ."""
    primary, client = os.environ["DATABASE_URL"], redis.Redis.from_url(os.environ["REDIS_URL"])
    with ExitStack() as stack:
        directory = stack.enter_context(temporary_directory("waymark-monitoring-"))
        conn = stack.enter_context(psycopg.connect(primary, autocommit=True))
        conn.execute("SELECT pg_create_physical_replication_slot('unused')")
        stack.callback(conn.execute, "SELECT pg_drop_replication_slot('unused')")
        client.config_set("maxmemory", "1gb")
        stack.callback(client.config_set, "maxmemory", 0)
        replica = stack.enter_context(streaming_replica(primary))
        addresses = {
            "postgresql": stack.enter_context(postgres_exporters(directory, primary, replica.url)),
            "redis": [stack.enter_context(exporter(REDIS, directory, f"--redis.addr={os.environ['REDIS_URL']}"))],
            "rabbitmq": [f"127.0.0.1:{rabbitmq.metrics_port}"],
        }
        jobs = [config for config in scrape_configs() if config["job_name"] in addresses]
        assert len(jobs) == len(addresses)
        for job in jobs:
            job["static_configs"] = [{"targets": addresses[job["job_name"]]}]
        prometheus = stack.enter_context(running_prometheus({"scrape_configs": jobs}, [RULES], directory))
        # Some replay lag needs a transaction to replay.
        conn.execute("INSERT INTO organizations (name, slug) VALUES ('measured', 'measured')")
        stack.callback(conn.execute, "DELETE FROM organizations WHERE slug = 'measured'")
        eventually(lambda: len(prometheus.query("up == 1")) == 4)
        yield prometheus


def test_every_panel_has_data(prometheus: Prometheus) -> None:
    expressions = [each for each in dashboard_expressions() if OF_EXPORTERS.search(each)]
    assert len(expressions) >= 12
    assert without_data(prometheus, expressions) == []


def test_every_rule_has_operands(prometheus: Prometheus) -> None:
    rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    assert without_data(prometheus, [THRESHOLD.sub("", rule["expr"]) for rule in rules]) == []

    evaluated = [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]
    assert [(rule["name"], rule.get("lastError")) for rule in evaluated if rule["health"] != "ok"] == []
    assert {rule["name"] for rule in evaluated if rule["state"] != "inactive"} == {
        "PostgresSlotUnused",
        "RabbitmqWithoutConsumers",
    }
