"""Paths of the services that Waymark replaces (docs/migrating.md). Each answers like Waymark's own path."""

from typing import Any

from flask import Response
from flask_openapi import APIBlueprint, Tag

from web.api import generated_codes
from web.api.generated_codes import GenerateBody, GeneratedPath, GeneratedResponse
from web.api.health import HealthResponse
from web.api.images import IMAGE_RESPONSES, NOT_MODIFIED
from web.http.auth import public, requires_login_if
from web.http.idempotency import documents_idempotency_key

api = APIBlueprint("compatibility", __name__)

GENERATED_CODES: list[Tag | dict[str, Any]] = [Tag(name="Generated codes")]


@api.get("/health", tags=[Tag(name="Operations")], responses={200: HealthResponse})
@public
def get_health() -> dict[str, str]:
    """Check that this process is alive

    For health checks that were written for an older service. `/healthz` and `/readyz` say more. Contacts no store.
    Without rate limit.
    """
    return {"status": "healthy"}


@api.post("/qr/generate", tags=GENERATED_CODES, responses={201: GeneratedResponse})
@requires_login_if("generate_requires_auth")
@documents_idempotency_key
def generate_code(body: GenerateBody) -> Response:
    """Create a code of any text

    The same as `POST /generate`, for clients of an older service.
    """
    return generated_codes.create(body)


@api.get(
    "/qr/retrieve/<qr_id>",
    tags=GENERATED_CODES,
    responses={200: IMAGE_RESPONSES, 304: NOT_MODIFIED, 406: None, 409: None, 410: None},
)
@public
def retrieve_code(path: GeneratedPath) -> Response:
    """Get the image of a generated code

    For clients of an older service. The same as `GET /retrieve/{qr_id}`, except that a client without a preference gets
    the image.
    """
    return generated_codes.retrieve(path.qr_id)
