"""Blank codes over HTTP: inactive codes without a place, to be printed ahead."""

from typing import Annotated

from flask import Response
from flask_openapi import APIBlueprint, Tag
from pydantic import ConfigDict, Field

from shared.codes.rules import MAX_TAGS
from shared.codes.schemas import TagText
from shared.codes.store import generate_code_text
from shared.imports import rules, staging, store
from shared.imports.rules import MAX_SYNCHRONOUS_ROWS
from shared.infra.event_loop import yielding
from shared.infra.message_sender import background_sender
from shared.messages import ImportsPending
from web.api.imports import ImportResponse, add_codes, started
from web.http.auth import current_caller, requires_role
from web.http.idempotency import documents_idempotency_key, run_once, transaction
from web.http.schemas import Body, OrganizationPath, WholeNumber

api = APIBlueprint(
    "blank_codes", __name__, url_prefix="/api/organizations/<org_id>/qr-codes/blank", abp_tags=[Tag(name="QR codes")]
)

MAX_BLANK_CODES = 10_000


class BlankCodesBody(Body):
    """How many codes to create, and the tags of each."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"count": 500, "tags": ["batch-7"]}]})

    count: Annotated[int, WholeNumber(1, MAX_BLANK_CODES)] = Field(description="Codes to create")
    tags: Annotated[list[TagText], Field(max_length=MAX_TAGS)] = Field(default_factory=list)


@api.post("", responses={201: ImportResponse, 202: ImportResponse, 409: None})
@requires_role("admin", scope="codes:write")
@documents_idempotency_key
def create_blank_codes(path: OrganizationPath, body: BlankCodesBody) -> Response:
    """Create blank codes to print ahead

    Needs the role admin. Each has a generated text, the scan type `item_drop`, no reward and no place, and is inactive.
    Print them, then place each one where it is installed. Up to 1,000 are added at once, with 201. A worker adds more:
    the response is 202, and `status_url` has the progress. A retry with the same `Idempotency-Key` creates nothing. 409
    if the codes do not fit the organization's quota, or if the organization has 30 open imports.
    """
    tags = tuple(dict.fromkeys(body.tags))

    def add() -> Response:
        rows = list(yielding(rules.blank_rows(body.count, tags, generate_code_text)))
        if body.count <= MAX_SYNCHRONOUS_ROWS:
            return add_codes(path.org_id, rows, lambda _line: "body", partial=False)
        with transaction() as conn:
            job = store.create(conn, path.org_id, partial=False, validated_rows=body.count)
            staging.copy_candidates(conn, job.id, yielding(rows))
            return started(conn, job, {"rows": body.count, "blank": True, "tags": list(tags)})

    response = run_once(current_caller().id, add)
    background_sender.submit(ImportsPending())
    return response
