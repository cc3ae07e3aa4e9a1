"""What every broker of messages promises: delivery at least once, bounded waits, and one error."""

import gc
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psutil
import pytest
from dramatiq.errors import ConnectionClosed

from script.stack.ports import LOOPBACK, free_port
from shared.infra import broker as brokers
from shared.infra import health, message_sender
from shared.infra import rabbitmq as rabbitmq_broker
from shared.infra import redis as redises
from shared.infra.broker import BrokerUnavailable, broker, make_broker
from shared.infra.logging import bound_request_id
from shared.infra.message_sender import BackgroundSender, send
from shared.infra.relay_wakeup import WAKEUP_SET
from shared.messages import CleanUp, RenderFilesUnneeded, ScansAccepted, ScansPending
from tests.broker.conftest import OTHER_REDIS, RABBITMQ, SMOKE, broker_at
from tests.support.polling import eventually
from tests.support.rabbitmq import RabbitServer, needs_rabbitmq
from tests.system.processes import halted
from workers.cli.diagnosis.processes import is_waiting
from workers.prefetch import LIMITS
from workers.rabbitmq_consumer import EarlyAckBroker

Brokers = Callable[[], Any]
Consumer = Any


def consumer_of(worker: Any, queue: str) -> Consumer:
    return worker.consume(queue, prefetch=8, timeout=100)


def take(consumer: Consumer) -> Any:
    return eventually(lambda: next(consumer))


def finish(consumer: Consumer, message: Any) -> None:
    """Acknowledge the message as a worker thread does: RabbitMQ learns of it when the consumer continues."""
    consumer.ack(message)
    next(consumer)


@pytest.mark.parametrize("kind", ["redis", OTHER_REDIS, SMOKE], indirect=True)
def test_message_arrives_with_its_fields(consuming: Brokers) -> None:
    consumer = consumer_of(consuming(), "maintenance")
    with bound_request_id("r1"):
        send(RenderFilesUnneeded("a"))
    message = take(consumer)
    assert (message.actor_name, message.kwargs) == ("RenderFilesUnneeded", {"render_id": "a"})
    assert message.options["request_id"] == "r1"


def test_acknowledged_message_does_not_return(consuming: Brokers) -> None:
    consumer = consumer_of(consuming(), "maintenance")
    send(CleanUp())
    finish(consumer, take(consumer))
    consumer.close()
    other = consumer_of(consuming(), "maintenance")
    assert [next(other), next(other)] == [None, None]


def test_message_of_a_process_that_stops_is_taken_by_another(consuming: Brokers) -> None:
    consumer = consumer_of(consuming(), "scans")
    send(ScansPending())
    message = take(consumer)
    consumer.requeue([message])
    consumer.close()
    assert take(consumer_of(consuming(), "scans")).actor_name == "ScansPending"


def test_process_takes_up_to_two_messages_of_scans(consuming: Brokers) -> None:
    consumer = consumer_of(consuming(), "scans")
    taken = []
    for _ in range(LIMITS["scans"]):
        send(ScansAccepted())
        taken.append(take(consumer))
    send(ScansAccepted())
    assert next(consumer) is None
    consumer.ack(taken[0])
    assert take(consumer).actor_name == "ScansAccepted"


@pytest.mark.parametrize("is_silent", [False, True], ids=["refused", "silent"])
@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_unavailable_broker_raises_one_error_wakes_the_relay_and_is_not_ready(
    scheme: str, is_silent: bool, clean: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A silent one accepts connections and never answers."""
    for timeout in ("socket_timeout", "stack_timeout"):
        monkeypatch.setitem(rabbitmq_broker.CONNECTION, timeout, "0.2")
    monkeypatch.setattr(redises, "SOCKET_TIMEOUT_SECONDS", 0.2)
    with socket.create_server((LOOPBACK, 0)) as silent:
        port = silent.getsockname()[1] if is_silent else free_port()
        with broker_at(f"{scheme}://{LOOPBACK}:{port}/0"):
            with pytest.raises(BrokerUnavailable):
                send(ScansAccepted())
            assert health.unready_dependencies(("redis", "broker")) == ["broker"]
            assert wakes_relay()


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_sender_drops_what_an_unavailable_broker_refuses(
    scheme: str, clean: None, capsys: pytest.CaptureFixture[str]
) -> None:
    sender = BackgroundSender()
    sender._thread = object()  # type: ignore[assignment]  # no thread: messages wait for the flush
    for message in (ScansAccepted(), CleanUp()):
        sender.submit(message)
    with broker_at(f"{scheme}://{LOOPBACK}:{free_port()}/0"):
        sender.flush()
        sender.flush()
    assert capsys.readouterr().out.count("message_dropped") == 2


def test_broker_that_answers_is_ready(kind: str) -> None:
    assert health.unready_dependencies(("redis", "broker")) == []


def test_busy_process_leaves_messages_to_others(consuming: Brokers) -> None:
    busy = consumer_of(consuming(), "scans")
    for _ in range(LIMITS["scans"]):
        send(ScansPending())
        take(busy)
    assert next(busy) is None
    send(ScansPending())
    assert [next(busy), next(busy)] == [None, None]
    assert take(consumer_of(consuming(), "scans")).actor_name == "ScansPending"


@pytest.mark.parametrize("kind", [RABBITMQ], indirect=True)
def test_message_that_is_handled_for_long_is_not_delivered_again(
    kind: str, consuming: Brokers, rabbitmq: RabbitServer
) -> None:
    """RabbitMQ redelivers what is not acknowledged after 30 minutes. A backup takes longer."""
    consumer = consumer_of(consuming(), "maintenance")
    send(CleanUp())
    take(consumer)
    next(consumer)
    counts = rabbitmq.control("list_queues", "name", "messages_unacknowledged").splitlines()
    assert "maintenance\t0" in counts


@pytest.mark.parametrize("kind", [RABBITMQ], indirect=True)
def test_consumer_has_one_connection(kind: str, consuming: Brokers, rabbitmq: RabbitServer) -> None:
    """A second one would be idle: RabbitMQ closes connections that answer no heartbeat, and logs each."""
    before = number_of_connections(rabbitmq.port)
    consumers = [consumer_of(consuming(), queue) for queue in ("scans", "images")]
    assert [next(consumer) for consumer in consumers] == [None, None]
    assert number_of_connections(rabbitmq.port) == before + len(consumers)


def number_of_connections(port: int) -> int:
    """Return how many connections this process has to a port, after those of earlier tests are closed."""
    gc.collect()
    connections = psutil.Process().net_connections("tcp")
    return len([each for each in connections if each.raddr[1:] == (port,) and each.status == psutil.CONN_ESTABLISHED])


@pytest.mark.parametrize("kind", ["redis", OTHER_REDIS, RABBITMQ], indirect=True)
def test_message_wakes_the_relay(kind: str) -> None:
    send(ScansAccepted())
    assert wakes_relay()


def wakes_relay() -> bool:
    return bool(redises.client().zcard(redises.key(WAKEUP_SET)))


@pytest.mark.parametrize("kind", [RABBITMQ], indirect=True)
def test_deleted_queue_is_declared_again(kind: str, consuming: Brokers, rabbitmq: Any) -> None:
    """By the sender, whose message is not lost, and by the consumer."""
    send(ScansPending())
    rabbitmq.purge()
    send(ScansPending())
    assert take(consumer_of(consuming(), "scans")).actor_name == "ScansPending"


@pytest.mark.parametrize("kind", [RABBITMQ], indirect=True)
def test_lost_connection_is_replaced(kind: str, consuming: Brokers, rabbitmq: Any) -> None:
    send(ScansPending())
    cut_connections(rabbitmq.port)
    send(CleanUp())
    assert take(consumer_of(consuming(), "maintenance")).actor_name == "CleanUp"


@pytest.mark.parametrize("kind", [RABBITMQ], indirect=True)
def test_connection_lost_before_the_acknowledgement_raises_one_error(
    kind: str, consuming: Brokers, rabbitmq: RabbitServer
) -> None:
    consumer = consumer_of(consuming(), "scans")
    assert next(consumer) is None
    send(ScansPending())
    consumer.connection.process_data_events(time_limit=5)
    cut_connections(rabbitmq.port)
    with pytest.raises(ConnectionClosed):
        next(consumer)


@pytest.mark.parametrize("kind", [RABBITMQ], indirect=True)
def test_idle_sender_attends_to_its_connection(
    kind: str, rabbitmq: RabbitServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would answer no heartbeat, and RabbitMQ would close the connection."""
    monkeypatch.setattr(message_sender, "KEEP_ALIVE_SECONDS", 0.02)
    BackgroundSender().submit(ScansPending())
    assert eventually(lambda: broker().connections)
    cut_connections(rabbitmq.port)
    assert eventually(lambda: not broker().connections)


@needs_rabbitmq
@pytest.mark.long
def test_message_that_is_never_confirmed_raises_one_error(
    rabbitmq: RabbitServer, clean: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by a queue whose nodes are in the minority. Without heartbeats, pika would wait forever."""
    for timeout in ("socket_timeout", "stack_timeout"):
        monkeypatch.setitem(rabbitmq_broker.CONNECTION, timeout, "0.5")
    monkeypatch.setattr(rabbitmq_broker, "ANSWER_SECONDS", 0.5)
    with broker_at(f"{rabbitmq.url}?heartbeat=0"):
        send(ScansPending())
        with halted(rabbitmq.pids), pytest.raises(BrokerUnavailable):
            send(ScansPending())
        send(ScansPending())


@pytest.mark.parametrize("kind", [RABBITMQ], indirect=True)
def test_process_ends_while_rabbitmq_hangs(
    kind: str, consuming: Brokers, rabbitmq: RabbitServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not wait until heartbeats fail, which closes a connection."""
    monkeypatch.setattr(rabbitmq_broker, "CLOSE_SECONDS", 0.2)
    send(ScansPending())
    (sending,) = broker().connections
    consumer = consumer_of(consuming(), "scans")
    take(consumer)
    with halted(rabbitmq.pids):
        consumer.close()
        broker().close()
        assert [each.is_closed for each in (consumer.connection, sending)] == [False, False]
    assert eventually(lambda: consumer.connection.is_closed and sending.is_closed)


def cut_connections(port: int) -> None:
    """End all connections of this process to a port, as a network that fails."""
    for each in psutil.Process().net_connections("tcp"):
        if each.raddr[1:] != (port,):
            continue
        # A consumer of an earlier test may have closed its connection meanwhile.
        with suppress(OSError), socket.socket(fileno=os.dup(each.fd)) as connection:
            connection.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("kind", [RABBITMQ], indirect=True)
def test_full_queue_drops_its_oldest_message(kind: str, monkeypatch: pytest.MonkeyPatch, consuming: Brokers) -> None:
    monkeypatch.setitem(rabbitmq_broker.QUEUE, "x-max-length", 2)
    for render_id in ("a", "b", "c"):
        send(RenderFilesUnneeded(render_id))
    consumer = consumer_of(consuming(), "maintenance")
    assert [take(consumer).kwargs["render_id"], take(consumer).kwargs["render_id"]] == ["b", "c"]


def test_waymark_doctor_finds_a_queue_that_no_worker_reads(consuming: Brokers) -> None:
    send(ScansPending())
    assert is_waiting(ScansPending())
    consumer = consumer_of(consuming(), "scans")
    take(consumer)
    assert not is_waiting(ScansPending())


@needs_rabbitmq
@pytest.mark.long
def test_certificate_of_rabbitmq_must_be_trusted(
    rabbitmq: RabbitServer, clean: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with broker_at(rabbitmq.tls_url):
        with pytest.raises(BrokerUnavailable, match="certificate"):
            send(ScansPending())
        monkeypatch.setenv("SSL_CERT_FILE", str(rabbitmq.host.certificate))
        broker().close()
        brokers.broker.reset()
        send(ScansPending())
        assert take(consumer_of(make_broker([], EarlyAckBroker), "scans")).actor_name == "ScansPending"


@needs_rabbitmq
@pytest.mark.long
def test_quorum_queues_of_a_virtual_host_carry_messages(rabbitmq: RabbitServer, clean: None) -> None:
    """As on a cluster, where the virtual host says that its queues are replicated."""
    rabbitmq.control("add_vhost", "waymark", "--default-queue-type", "quorum")
    rabbitmq.control("set_permissions", "--vhost", "waymark", "waymark", ".*", ".*", ".*")
    with broker_at(rabbitmq.url_of("waymark")):
        send(RenderFilesUnneeded("a"))
        worker = make_broker([], EarlyAckBroker)
        consumer = consumer_of(worker, "maintenance")
        message = take(consumer)
        assert message.kwargs == {"render_id": "a"}
        finish(consumer, message)
        consumer.close()
    assert "maintenance\tquorum\t0" in rabbitmq.control(
        "list_queues", "--vhost", "waymark", "name", "type", "messages_unacknowledged"
    )
