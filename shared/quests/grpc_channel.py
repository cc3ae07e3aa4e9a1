"""The gRPC channel to the Quest Catalog: one per process, opened at the first call, which is after the fork.

gRPC is imported at the first call. A web process that is served from the cache never imports it.
"""

import json
from pathlib import Path
from typing import Any

from shared.infra.event_loop import runs_on_gevent
from shared.infra.logging import get_logger
from shared.infra.per_process import per_process
from shared.settings import settings

log = get_logger()

SERVICE_CONFIG = {
    # A name with several addresses, such as a headless Service of Kubernetes, is several catalogs: calls take turns.
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [
        {
            "name": [{"service": "quest.QuestService"}],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.05s",
                "maxBackoff": "0.4s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
}
MAX_RESPONSE_BYTES = 4 * 1024 * 1024
OPTIONS = (
    ("grpc.service_config", json.dumps(SERVICE_CONFIG)),
    ("grpc.max_receive_message_length", MAX_RESPONSE_BYTES),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)


@per_process
def stub() -> Any:
    """Return the stub of the catalog. A call that fails with UNAVAILABLE is retried within its deadline."""
    import grpc  # noqa: PLC0415 - when first used

    from shared.quests.quest_pb2_grpc import QuestServiceStub  # noqa: PLC0415

    if runs_on_gevent():
        from grpc.experimental import gevent  # noqa: PLC0415

        gevent.init_gevent()

    address = settings().grpc_server_url
    if settings().grpc_tls:
        authority = _read(settings().grpc_ca_file)
        channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(authority), OPTIONS)
    else:
        if settings().sends_grpc_token_in_clear:
            log.warning("catalog_token_in_clear", address=address)
        channel = grpc.insecure_channel(address, OPTIONS)
    return QuestServiceStub(channel)  # type: ignore[no-untyped-call]


def call(method: str, request: Any) -> Any:
    """Call a method of the catalog. Return its response. Raises grpc.RpcError."""
    token = settings().grpc_token
    metadata = (("authorization", f"Bearer {token.get_secret_value()}"),) if token else None
    return getattr(stub(), method)(request, timeout=settings().grpc_deadline_seconds, metadata=metadata)


def _read(path: Path | None) -> bytes | None:
    return path.read_bytes() if path else None
