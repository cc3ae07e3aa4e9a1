"""What a platform asks of a process: is it alive, is it ready."""

from typing import Any

from flask import Response
from flask_openapi import APIBlueprint, Tag

from shared.infra import health
from web.http import problems
from web.http.auth import public
from web.http.responses import json_response
from web.http.schemas import ResponseModel

api = APIBlueprint("health", __name__, abp_tags=[Tag(name="Operations")])


class HealthResponse(ResponseModel):
    status: str


@api.get("/healthz", responses={200: HealthResponse})
@public
def healthz() -> dict[str, Any]:
    """Alive: the process answers. Asks no store."""
    return {"status": "ok"}


@api.get("/readyz", responses={200: HealthResponse, 503: {"description": "Names what is missing."}})
@public
def readyz() -> Response:
    """Ready: PostgreSQL, Redis and the broker answer, and the migrations are at head. 503 names what is missing."""
    missing = health.unready_dependencies()
    if missing:
        return problems.problem(503, f"Not ready: {', '.join(missing)}.")
    return json_response({"status": "ok"})
