"""Imports over HTTP: many codes from a list or a CSV file. And their export to CSV."""

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Annotated, Any, BinaryIO, Self
from uuid import UUID

from flask import Response
from flask_openapi import APIBlueprint, Tag
from pydantic import ConfigDict, Field, model_validator

from shared.codes import store as codes
from shared.errors import FieldError, InvalidRows, NotFound
from shared.imports import commit, csv_cells, rules, staging, store
from shared.imports.csv_reader import open_csv
from shared.imports.export_rows import export_pages
from shared.imports.rules import MAX_SYNCHRONOUS_ROWS, ImportJob, ImportStatus, RowResult, RowStatus
from shared.infra import db
from shared.infra.db import Conn
from shared.infra.event_loop import yielding
from shared.infra.message_sender import background_sender
from shared.messages import ImportsPending
from shared.organizations import store as organizations
from shared.organizations import usage
from shared.organizations.rules import includes_role
from web.http.audit_log import record
from web.http.auth import current_caller, current_role, requires_role
from web.http.csv_responses import csv_response
from web.http.idempotency import documents_idempotency_key, idempotent, run_once, transaction
from web.http.request_context import accepts_file, max_body_bytes
from web.http.responses import json_response
from web.http.schemas import CsvQuery, Id, LargeBody, OrganizationPath, Query, QueryBool, ResponseModel, Text
from web.http.settings import current_settings
from web.http.uploads import spooled_body

api = APIBlueprint("imports", __name__, url_prefix="/api/organizations/<org_id>", abp_tags=[Tag(name="QR codes")])

MAX_JSON_BYTES, MAX_CSV_BYTES = 10 * 2**20, 64 * 2**20
CSV_TYPES = ("text/csv", "application/csv", "text/tab-separated-values", "application/vnd.ms-excel")
"""Media types that browsers and systems give to a CSV file; Windows takes the last one from its registry."""
CSV_EXAMPLE = "code,scan_type,reward_item,reward_quantity,tags\r\nspy123,item_drop,spy_gadget,1,city-walk|old-town\r\n"
CSV = {"text/csv": {"schema": {"type": "string"}, "example": CSV_EXAMPLE}}


class ImportPath(OrganizationPath):
    import_id: Id


class ImportQuery(Query):
    partial: QueryBool = Field(False, description="Add the valid rows even if others are invalid")
    dry_run: QueryBool = Field(False, description="Check the rows, and add none")


class BulkBody(LargeBody):
    """The codes to create: each as the body of a single code, or as a label only."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"codes": [{"code": "spy123", "scan_type": "item_drop", "reward": {"item": "gem", "quantity": 1}}]}
            ]
        }
    )

    codes: Annotated[list[dict[str, Any]], Field(max_length=MAX_SYNCHRONOUS_ROWS)] | None = Field(
        None, description="Each as the body of a single code"
    )
    labels: Annotated[list[Text], Field(min_length=1, max_length=MAX_SYNCHRONOUS_ROWS)] | None = Field(
        None,
        description="Instead of `codes`: the description of each code, as clients of an older service send them. The "
        "codes lead to the organization's `url`. Without one, they are scanned in the game, without a reward",
        examples=[["Table 1", "Table 2"]],
    )

    @model_validator(mode="after")
    def _one_list(self) -> Self:
        if (self.codes is None) == (self.labels is None):
            raise ValueError("Give either codes or labels.")
        if self.labels is not None and not any(label.strip() for label in self.labels):
            raise ValueError("Use at least one label that is not blank.")
        return self


class ImportRowResponse(ResponseModel):
    """The outcome of a row."""

    line: int = Field(description="The line of the file where the row starts; in a list its position, from 1")
    status: RowStatus
    field: str | None = Field(description="The invalid column; null: the row as a whole")
    message: str | None
    code: str | None = Field(description="Text of the code; null: no code was added, and the row has no text")
    qr_id: Id | None
    warnings: list[str] = Field(description="Why the code gives nothing, in sentences. Empty if it gives something")


class ImportResponse(ResponseModel):
    """An import and the outcome of its rows."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "0197a6b0-0000-7000-8000-000000000005",
                    "status": "done",
                    "partial": False,
                    "dry_run": False,
                    "total": 1,
                    "done": 1,
                    "failed": 0,
                    "progress": 1.0,
                    "message": None,
                    "rows": [
                        {
                            "line": 2,
                            "status": "added",
                            "field": None,
                            "message": None,
                            "code": "spy123",
                            "qr_id": "0197a6b0-0000-7000-8000-000000000002",
                            "warnings": [],
                        }
                    ],
                    "status_url": "/api/organizations/0197a6b0-0000-7000-8000-000000000003"
                    "/imports/0197a6b0-0000-7000-8000-000000000005",
                }
            ]
        }
    )

    id: Id | None = Field(description="Null: a dry run that was finished at once")
    status: ImportStatus = Field(description="`checked`: a dry run has ended")
    partial: bool
    dry_run: bool = Field(description="True: rows are checked, and none is added")
    total: int
    done: int = Field(description="Rows that were added")
    failed: int = Field(description="Invalid rows")
    progress: float = Field(ge=0, le=1)
    message: str | None = Field(description="Why nothing was added, or would be")
    rows: list[ImportRowResponse] = Field(
        description="Up to 1,000, failures first. While the import is running, failures only"
    )
    status_url: str | None = Field(description="Path of the import; null: a dry run that was finished at once")


@api.post("/qr-codes/bulk", responses={200: ImportResponse, 201: ImportResponse, 409: None})
@requires_role("admin", scope="codes:write")
@idempotent
@max_body_bytes(MAX_JSON_BYTES)
def import_codes_json(path: OrganizationPath, query: ImportQuery, body: BulkBody) -> Response:
    """Create up to 1,000 codes

    Needs the role admin. If a code is invalid, none is created, unless `partial` is true. The body may have up to 10
    MiB. A body with `labels` creates a code for each label that is not blank. A retry with the same `Idempotency-Key`
    creates nothing. 409 if the codes do not fit the organization's quota. With `dry_run`, the response is 200, and no
    code is created.
    """
    part, rows = "codes", body.codes
    if rows is None:
        part, rows = "labels", _labeled(path.org_id, body.labels or [])
    lines = enumerate(yielding(rows), 1)
    results = [rules.validate_code(line, code, codes.generate_code_text) for line, code in lines]
    if query.dry_run:
        return _check(path.org_id, results, partial=query.partial)
    return add_codes(path.org_id, results, lambda line: f"body.{part}.{line - 1}", partial=query.partial)


def _labeled(org_id: UUID, labels: Sequence[str]) -> list[dict[str, Any]]:
    """Return a body for each label: a code that leads to the organization's website, else one for the game."""
    with db.connection() as conn:
        url = organizations.get_url(conn, org_id)
    fields = {"scan_type": "item_drop"} if url is None else {"scan_type": None, "target_url": url}
    return [fields | {"description": label.strip()} for label in labels if label.strip()]


@api.post(
    "/qr-codes/import",
    request_body={"required": True, "content": CSV},
    responses={200: ImportResponse, 201: ImportResponse, 202: ImportResponse, 409: None, 413: None, 415: None},
)
@requires_role("admin", scope="codes:write")
@documents_idempotency_key
@accepts_file(CSV_TYPES, MAX_CSV_BYTES)
def import_codes_csv(path: OrganizationPath, query: ImportQuery) -> Response:
    """Create codes from a CSV file

    Needs the role admin. The file has up to 64 MiB and 100,000 rows, in UTF-8. Its first line names the columns, in
    any order. Cells are separated by commas, semicolons, tabs or bars. Blanks around cells and blank rows are ignored.
    Up to 1,000 rows are added at once, with 201. A worker adds larger files: the response is 202, and `status_url` has
    the progress. If a row is invalid, no code is created, unless `partial` is true. A retry with the same
    `Idempotency-Key` creates nothing. 409 if the codes do not fit the organization's quota, or if the organization has
    30 open imports. A larger file that does not fit the quota fails later. With `dry_run`, rows are checked against the
    current codes, and none is added: the response is 200, or 202 for a larger file, whose import ends as `checked`.
    """
    with spooled_body() as file:
        table = open_csv(file)
        rows = list(islice(yielding(table.rows), MAX_SYNCHRONOUS_ROWS + 1))
        if len(rows) > MAX_SYNCHRONOUS_ROWS:
            response = run_once(current_caller().id, lambda: _start_import(path.org_id, file, query))
            background_sender.submit(ImportsPending())
            return response
    results = [rules.validate_row(table.columns, row, codes.generate_code_text) for row in yielding(rows)]

    def add() -> Response:
        if query.dry_run:
            return _check(path.org_id, results, partial=query.partial)
        return add_codes(path.org_id, results, lambda line: f"body.lines.{line}", partial=query.partial)

    return run_once(current_caller().id, add)


@api.get("/imports/<import_id>", responses={200: ImportResponse})
@requires_role("admin", scope="codes:write")
def get_import(path: ImportPath) -> dict[str, Any]:
    """Get the progress or the outcome of an import

    Needs the role admin. A finished import is purged after a week.
    """
    with db.connection() as conn:
        return _to_response(conn, _find(conn, path.org_id, path.import_id))


@api.get(
    "/qr-codes/export",
    responses={200: {"description": "One row for each code, in the columns of an import", "content": CSV}},
)
@requires_role("analyst", scope="codes:read")
def export_codes_csv(path: OrganizationPath, query: CsvQuery) -> Response:
    """Export all codes as CSV

    Needs the role analyst. The oldest code comes first. Only admins and owners get the solutions of puzzles.
    """
    columns = [
        name for name in csv_cells.COLUMNS if name != csv_cells.SOLUTION or includes_role(current_role(), "admin")
    ]
    with db.connection() as conn:
        slug = organizations.get_slug(conn, path.org_id)
    return csv_response(columns, lambda: export_pages(path.org_id, columns), query, filename=f"qr-codes-{slug}.csv")


def add_codes(org_id: UUID, results: Sequence[RowResult], loc_of: Callable[[int], str], *, partial: bool) -> Response:
    """Add codes while the client waits. Raise InvalidRows if none is added; `loc_of` locates a line in the request."""
    with transaction() as conn:
        response = _import(conn, org_id, results, partial=partial, dry_run=False)
        if response["status"] == "failed":
            errors = [
                FieldError(".".join(filter(None, (loc_of(row["line"]), row["field"]))), row["message"])
                for row in response["rows"]
                if row["status"] == "failed"
            ]
            raise InvalidRows(response["message"], errors, response["rows"])
        new = {"codes": response["done"], "failed": response["failed"]}
        record(conn, "codes.imported", org_id=org_id, object_id=response["id"], new=new)
    return json_response(response, 201, Location=response["status_url"])


def _check(org_id: UUID, results: Sequence[RowResult], *, partial: bool) -> Response:
    """Check codes by the same steps, and roll them back."""
    with transaction() as conn, conn.transaction(force_rollback=True):
        response = _import(conn, org_id, results, partial=partial, dry_run=True)
    return json_response(response | {"id": None, "status_url": None}, 200)


def _import(conn: Conn, org_id: UUID, results: Sequence[RowResult], *, partial: bool, dry_run: bool) -> dict[str, Any]:
    job = store.create(conn, org_id, partial=partial, dry_run=dry_run, validated_rows=len(results))
    staging.copy_candidates(conn, job.id, yielding(results))
    commit.commit(conn, job, max_codes=current_settings().max_codes_per_organization)
    return _to_response(conn, _find(conn, org_id, job.id))


def _start_import(org_id: UUID, file: BinaryIO, query: ImportQuery) -> Response:
    """Stage the rows of a file for workers."""
    file.seek(0)
    with transaction() as conn:
        store.check_open(conn, org_id, more=1)
        table = open_csv(file)
        job = store.create(conn, org_id, table.columns, partial=query.partial, dry_run=query.dry_run)
        total = staging.copy_rows(conn, job.id, yielding(table.rows))
        store.set_total(conn, job.id, total)
        return started(conn, job, {"rows": total, "partial": query.partial})


def started(conn: Conn, job: ImportJob, new: dict[str, Any]) -> Response:
    """Return the response to a request whose rows are staged. A dry run is no change, and has no audit log entry.

    Raise TooManyImports if other requests have used up the limit meanwhile.
    """
    usage.lock(conn, job.org_id)
    store.check_open(conn, job.org_id)
    if not job.dry_run:
        record(conn, "import.started", org_id=job.org_id, object_id=job.id, new=new)
    response = _to_response(conn, _find(conn, job.org_id, job.id))
    return json_response(response, 202, Location=response["status_url"], Retry_After="1")


def _find(conn: Conn, org_id: UUID, import_id: UUID) -> ImportJob:
    job = store.find(conn, org_id, import_id)
    if job is None:
        raise NotFound
    return job


def _to_response(conn: Conn, job: ImportJob) -> dict[str, Any]:
    fields = vars(job) | {
        "progress": job.progress,
        "rows": job.outcomes if job.is_finished else store.list_failures(conn, job.id),
        "status_url": f"/api/organizations/{job.org_id}/imports/{job.id}",
    }
    return ImportResponse.model_validate(fields).model_dump(mode="json")
