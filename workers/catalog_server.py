"""The Quest Catalog: a gRPC server over the tables `quests` and `rewards`.

python -m workers.catalog_server          serve
python -m workers.catalog_server check    check the health of the server on this machine
"""

import argparse
import hmac
import sys
from collections.abc import Callable
from concurrent import futures
from typing import Any

import grpc
import psycopg
import psycopg_pool
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from shared.infra import db
from shared.infra.db import Conn
from shared.infra.heartbeats import Heartbeat
from shared.infra.logging import configure, get_logger
from shared.infra.signals import stop_event
from shared.quests import definitions, quest_pb2, quest_pb2_grpc, yaml_loader
from shared.quests.definitions import CatalogQuest
from shared.settings import settings
from workers import metrics_server
from workers.catalog_metrics import MetricsInterceptor

log = get_logger()

SERVICE = "quest.QuestService"
THREADS = 8
GRACE_SECONDS = 5.0
HEALTH_SECONDS = 2.0
CHECK_SECONDS = 5.0
MAX_REQUEST_BYTES = 64 * 1024


class QuestCatalogService(quest_pb2_grpc.QuestServiceServicer):
    """Reads each response from PostgreSQL. Clients cache."""

    def GetQuestInfo(self, request: Any, context: grpc.ServicerContext) -> quest_pb2.QuestResponse:  # noqa: N802
        name = request.quest_name
        found: Any = None if "\x00" in name else _read(context, lambda conn: definitions.find(conn, name))
        if found is None:
            context.abort(grpc.StatusCode.NOT_FOUND, "quest not found")
        return _format(found)

    def GetAllQuests(self, request: Any, context: grpc.ServicerContext) -> quest_pb2.QuestListResponse:  # noqa: ARG002, N802
        return quest_pb2.QuestListResponse(quests=[_format(each) for each in _read(context, definitions.list_all)])


def _read(context: grpc.ServicerContext, read: Callable[[Conn], Any]) -> Any:
    try:
        with db.connection() as conn:
            return read(conn)
    except (psycopg.OperationalError, psycopg_pool.PoolTimeout) as error:
        log.warning("database_unavailable", error=str(error))
        context.abort(grpc.StatusCode.UNAVAILABLE, "the database of the catalog is unavailable")


def _format(found: CatalogQuest) -> quest_pb2.QuestResponse:
    reward = None
    if found.reward_id is not None:
        reward = quest_pb2.Reward(
            reward_id=found.reward_id,
            reward_name=found.reward_name,
            reward_item=found.item,
            reward_qty=found.quantity,
        )
    return quest_pb2.QuestResponse(
        quest_id=found.id,
        name=found.name,
        streak=found.streak,
        duplication=found.duplication,
        auto_claim=found.auto_claim,
        rewards=reward,
    )


class TokenInterceptor(grpc.ServerInterceptor):  # type: ignore[misc]
    """Requires GRPC_TOKEN for every call except health checks."""

    def __init__(self, token: str) -> None:
        self._expected = f"Bearer {token}"

        def reject(_request: Any, context: grpc.ServicerContext) -> None:
            context.abort(
                grpc.StatusCode.UNAUTHENTICATED, "missing or wrong token: send authorization: Bearer <GRPC_TOKEN>"
            )

        self._rejection = grpc.unary_unary_rpc_method_handler(reject)

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        given = str(dict(details.invocation_metadata).get("authorization", ""))
        is_health = details.method.startswith(f"/{health.SERVICE_NAME}/")
        if is_health or hmac.compare_digest(given.encode(), self._expected.encode()):
            return continuation(details)
        return self._rejection


def make_server(address: str) -> tuple[grpc.Server, health.HealthServicer, int]:
    """Return the server, its health service, and the port on which it will listen."""
    token = settings().grpc_token
    server = grpc.server(
        futures.ThreadPoolExecutor(THREADS, thread_name_prefix="catalog"),
        interceptors=[MetricsInterceptor(), *([TokenInterceptor(token.get_secret_value())] if token else [])],
        options=(("grpc.max_receive_message_length", MAX_REQUEST_BYTES), ("grpc.so_reuseport", 0)),
    )
    quest_pb2_grpc.add_QuestServiceServicer_to_server(QuestCatalogService(), server)  # type: ignore[no-untyped-call]
    health_service = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health_service, server)
    reflection.enable_server_reflection((SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    certificate, private = settings().grpc_cert_file, settings().grpc_key_file
    if certificate and private:
        credentials = grpc.ssl_server_credentials([(private.read_bytes(), certificate.read_bytes())])
        return server, health_service, server.add_secure_port(address, credentials)
    return server, health_service, server.add_insecure_port(address)


def serve() -> None:
    """Serve until SIGTERM or SIGINT, then finish the calls in progress."""
    stopping = stop_event()
    try:
        server, health_service, port = make_server(settings().catalog_listen_address)
    except RuntimeError as error:
        raise SystemExit(f"The catalog cannot listen on {settings().catalog_listen_address}: {error}") from None
    server.start()
    metrics_server.start("catalog")
    log.info("catalog_ready", address=settings().catalog_listen_address, port=port)
    loaded = False
    heartbeat = Heartbeat("catalog")
    while not stopping.is_set():
        heartbeat.beat()
        try:
            loaded = loaded or load_default_quests()
            with db.connection() as conn:
                conn.execute("SELECT")
            status = health_pb2.HealthCheckResponse.SERVING
        except (psycopg.Error, psycopg_pool.PoolTimeout) as error:
            log.warning("database_unavailable", error=str(error))
            status = health_pb2.HealthCheckResponse.NOT_SERVING
        for name in ("", SERVICE):
            health_service.set(name, status)
        stopping.wait(HEALTH_SECONDS)
    health_service.enter_graceful_shutdown()
    server.stop(GRACE_SECONDS).wait()


def check(address: str) -> str:
    """Check the health of the server at this address, with the authority and the server name that clients use."""
    name, port = settings().grpc_server_url.rpartition(":")[0], address.rpartition(":")[2]
    here = address.replace("0.0.0.0:", "127.0.0.1:").replace("[::]:", "[::1]:")
    if settings().grpc_cert_file:
        authority = settings().grpc_ca_file
        credentials = grpc.ssl_channel_credentials(authority.read_bytes() if authority else None)
        channel = grpc.secure_channel(here, credentials, (("grpc.ssl_target_name_override", name),))
    else:
        channel = grpc.insecure_channel(here)
    with channel:
        try:
            response = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=CHECK_SECONDS)
        except grpc.RpcError as error:
            raise SystemExit(f"The catalog on port {port} is unreachable: {error.details()}") from None
    if response.status != health_pb2.HealthCheckResponse.SERVING:
        raise SystemExit(f"The catalog on port {port} is not serving")
    return f"The catalog on port {port} is serving"


def load_default_quests() -> bool:
    """Load the default quests into an empty catalog. A catalog with quests is left unchanged. Return True."""
    with db.transaction() as conn:
        if definitions.is_empty(conn):
            default_quests = yaml_loader.parse(yaml_loader.DEFAULT_QUESTS.read_text())
            for definition in default_quests:
                definitions.save(conn, definition)
            log.info("default_quests_loaded", quests=len(default_quests))
    return True


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m workers.catalog_server", description="The Quest Catalog server")
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("serve", help="serve (the default)")
    commands.add_parser("check", help="check the health of the server on this machine")
    options = parser.parse_args(arguments)
    configure("catalog")
    try:
        if options.command == "check":
            print(check(settings().catalog_listen_address))
        else:
            serve()
    except (psycopg.Error, psycopg_pool.PoolTimeout) as error:
        raise SystemExit(f"The database is unavailable: {' '.join(str(error).split())}") from None
    except OSError as error:
        raise SystemExit(str(error)) from None
    finally:
        db.close_pool()


if __name__ == "__main__":
    main(sys.argv[1:])
