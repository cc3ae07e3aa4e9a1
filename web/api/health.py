"""Probes of a platform: is this process alive, and is it ready for requests."""

from typing import Any

from flask import Flask, Response, current_app
from flask_openapi import APIBlueprint, Tag
from pydantic import Field

from shared.infra import health
from shared.infra.local_cache import CachedResult
from web.http import problems
from web.http.auth import public
from web.http.responses import json_response
from web.http.schemas import ResponseModel

CACHE_SECONDS = 1.0
EXTENSION = "waymark_readiness"

api = APIBlueprint("health", __name__, abp_tags=[Tag(name="Operations")])


class HealthResponse(ResponseModel):
    """The state of a web process."""

    status: str = Field(examples=["ok"])


def init_app(app: Flask) -> None:
    """Create this process's cache of its readiness."""
    app.extensions[EXTENSION] = CachedResult(health.unready_dependencies, CACHE_SECONDS)


@api.get("/healthz", responses={200: HealthResponse})
@public
def healthz() -> dict[str, Any]:
    """Check that this process is alive

    Contacts no store. Without rate limit.
    """
    return {"status": "ok"}


@api.get("/readyz", responses={200: HealthResponse, 503: {"description": "The detail names what is missing."}})
@public
def readyz() -> Response:
    """Check that this process is ready

    Ready means that PostgreSQL, Redis and the broker respond, and the database schema is current. Without rate limit:
    the result is cached for a second, so the load on the stores does not depend on the number of requests.
    """
    readiness: CachedResult[list[str]] = current_app.extensions[EXTENSION]
    if missing := readiness.get():
        return problems.problem(503, f"Not ready: {', '.join(missing)}.")
    return json_response({"status": "ok"})
