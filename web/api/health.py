"""Probes of a platform: is this process alive, and is it ready for requests."""

from typing import Annotated, Any, Literal

from flask import Flask, Response, current_app
from flask_openapi import APIBlueprint, Tag
from pydantic import AfterValidator, Field

from shared.infra import health
from shared.infra.local_cache import CachedResult
from web.http import problems
from web.http.auth import public
from web.http.responses import json_response
from web.http.schemas import Query, ResponseModel
from web.realtime import fanout

CACHE_SECONDS = 1.0
BROKER_EXTENSION = "waymark_broker_readiness"
DATABASE_EXTENSION = "waymark_database_readiness"
FILES_EXTENSION = "waymark_files_readiness"
REDIS_EXTENSION = "waymark_redis_readiness"

api = APIBlueprint("health", __name__, abp_tags=[Tag(name="Operations")])


def _dependency_names(text: str) -> str:
    health.dependency_names(text)
    return text


class HealthQuery(Query):
    accepting: Literal[""] | None = Field(None, description="Also check that the process is not shutting down")


class ReadinessQuery(Query):
    only: Annotated[str, AfterValidator(_dependency_names)] | None = Field(
        None,
        description="The dependencies to check, separated by commas: postgresql, migrations, redis, broker, files",
        examples=["postgresql,migrations"],
    )


class HealthResponse(ResponseModel):
    """The state of a web process."""

    status: str = Field(examples=["ok"])


def init_app(app: Flask) -> None:
    """Create this process's caches of the state of its stores."""
    app.extensions[BROKER_EXTENSION] = CachedResult(health.check_broker, CACHE_SECONDS)
    app.extensions[DATABASE_EXTENSION] = CachedResult(health.check_database, CACHE_SECONDS)
    app.extensions[FILES_EXTENSION] = CachedResult(health.check_files, CACHE_SECONDS)
    app.extensions[REDIS_EXTENSION] = CachedResult(health.check_redis, CACHE_SECONDS)


@api.get("/healthz", responses={200: HealthResponse, 503: {"description": "The process is shutting down."}})
@public
def healthz(query: HealthQuery) -> Any:
    """Check that this process is alive

    With `?accepting`, the response is 503 once the process is shutting down. Contacts no store. Without rate limit.
    """
    if query.accepting is not None and not current_app.extensions[fanout.EXTENSION].is_accepting:
        return problems.problem(503, "This process is shutting down. Retry shortly.", code="draining")
    return {"status": "ok"}


@api.get("/readyz", responses={200: HealthResponse, 503: {"description": "The detail names what is missing."}})
@public
def readyz(query: ReadinessQuery) -> Response:
    """Check that this process is ready

    Ready means that PostgreSQL, Redis and the broker respond, the database schema is current or newer and still
    supports this version, and the directory for files is the one that the workers use. `only` limits the checks.
    Without rate limit: each result is cached for a second, so the load on the stores does not depend on the number of
    requests.
    """
    missing = health.unready_dependencies(
        health.DEPENDENCIES if query.only is None else health.dependency_names(query.only),
        database=current_app.extensions[DATABASE_EXTENSION].get,
        redis=current_app.extensions[REDIS_EXTENSION].get,
        broker=current_app.extensions[BROKER_EXTENSION].get,
        files=current_app.extensions[FILES_EXTENSION].get,
    )
    if missing:
        return problems.problem(503, f"Not ready: {', '.join(missing)}.")
    return json_response({"status": "ok"})
