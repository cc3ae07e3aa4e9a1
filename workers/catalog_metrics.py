"""Metrics of the calls that the Quest Catalog answers."""

import time
from collections.abc import Callable
from typing import Any

import grpc

from shared.infra.metrics import Counter, Histogram

METHODS = {"GetQuestInfo", "GetAllQuests", "Check"}
OTHER_METHOD = "other"

REQUESTS = Counter(
    "waymark_catalog_requests_total", "Calls of the Quest Catalog, by method and status code.", ("method", "code")
)
DURATION = Histogram(
    "waymark_catalog_request_duration_seconds",
    "Time that the Quest Catalog needed for a call.",
    ("method",),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)


class MetricsInterceptor(grpc.ServerInterceptor):  # type: ignore[misc]
    """Counts and times each call, also those without a valid token."""

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        handler = continuation(details)
        if handler is None or handler.unary_unary is None:
            return handler
        # A client chooses the path of its call. It must not choose a label.
        name = details.method.rpartition("/")[2]
        method = name if name in METHODS else OTHER_METHOD

        def answer(request: Any, context: Any) -> Any:
            started = time.perf_counter()
            code = grpc.StatusCode.UNKNOWN
            try:
                response = handler.unary_unary(request, context)
                code = context.code() or grpc.StatusCode.OK
                return response
            except BaseException:
                code = context.code() or code
                raise
            finally:
                REQUESTS.labels(method, code.name).inc()
                DURATION.labels(method).observe(time.perf_counter() - started)

        return grpc.unary_unary_rpc_method_handler(answer, handler.request_deserializer, handler.response_serializer)
