"""Many codes at once over HTTP: from a list or a CSV file, and out again into one."""

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from io import StringIO
from itertools import islice
from typing import Annotated, Any, BinaryIO
from uuid import UUID

from flask import Response
from flask_openapi import APIBlueprint, Tag
from pydantic import ConfigDict, Field

from shared.codes import store as codes
from shared.errors import FieldError, InvalidRows, NotFound
from shared.imports import commit, csv_cells, rules, staging, store
from shared.imports.csv_reader import open_csv
from shared.imports.rules import MAX_SYNCHRONOUS_ROWS, ImportJob, ImportStatus, RowResult, RowStatus
from shared.infra import db
from shared.infra.db import Conn
from shared.infra.ids import LOWEST
from shared.infra.message_sender import background_sender
from shared.messages import ImportsPending
from shared.organizations import store as organizations
from shared.organizations.rules import includes_role
from web.http.audit_log import record
from web.http.auth import current_caller, current_role, requires_role
from web.http.file_responses import SlotBoundIterator, prime
from web.http.idempotency import documents_idempotency_key, idempotent, run_once, transaction
from web.http.request_context import accepts_file, max_body_bytes
from web.http.responses import json_response
from web.http.schemas import Body, Id, OrganizationPath, Query, QueryBool, ResponseModel
from web.http.uploads import spooled_body

api = APIBlueprint("imports", __name__, url_prefix="/api/organizations/<org_id>", abp_tags=[Tag(name="QR codes")])

MAX_BYTES = 10 * 2**20
PAGE = 200
"""Codes of an export that are in memory at once: each may have a puzzle of a mebibyte."""
CSV_EXAMPLE = "code,scan_type,reward_item,reward_quantity,tags\r\nspy123,item_drop,spy_gadget,1,city-walk|old-town\r\n"
CSV = {"text/csv": {"schema": {"type": "string"}, "example": CSV_EXAMPLE}}


class ImportPath(OrganizationPath):
    import_id: Id


class ImportQuery(Query):
    partial: QueryBool = Field(False, description="Add the rows that are right, even if others are wrong")


class BulkBody(Body):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"codes": [{"code": "spy123", "scan_type": "item_drop", "reward": {"item": "gem", "quantity": 1}}]}
            ]
        }
    )

    codes: Annotated[
        list[dict[str, Any]], Field(max_length=MAX_SYNCHRONOUS_ROWS, description="Each as for making a single one")
    ]


class ImportRowResponse(ResponseModel):
    """What became of a row."""

    line: int = Field(description="Of the file, where the row begins; in a list its place, from 1")
    status: RowStatus
    field: str | None = Field(description="The column that is wrong; null: the row as a whole")
    message: str | None
    code: str | None
    qr_id: Id | None


class ImportResponse(ResponseModel):
    """Codes handed in together."""

    id: Id
    status: ImportStatus
    partial: bool
    total: int
    done: int = Field(description="Rows added")
    failed: int = Field(description="Rows that are wrong")
    progress: float = Field(ge=0, le=1)
    message: str | None = Field(description="Why nothing was added")
    rows: list[ImportRowResponse] = Field(description="At most 1,000, failures first; failures only until it is over")
    status_url: str


@api.post("/qr-codes/bulk", responses={201: ImportResponse, 409: None})
@requires_role("admin", scope="codes:write")
@idempotent
@max_body_bytes(MAX_BYTES)
def import_codes_json(path: OrganizationPath, query: ImportQuery, body: BulkBody) -> Response:
    """Make up to 1,000 codes: all or none, unless `partial`."""
    judged = [rules.validate_code(place, code, codes.generate_code_text) for place, code in enumerate(body.codes, 1)]
    return _add(path.org_id, judged, lambda line: f"body.codes.{line - 1}", partial=query.partial)


@api.post(
    "/qr-codes/import",
    request_body={"required": True, "content": CSV},
    responses={201: ImportResponse, 202: ImportResponse, 409: None, 413: None, 415: None},
)
@requires_role("admin", scope="codes:write")
@documents_idempotency_key
@accepts_file("text/csv", MAX_BYTES)
def import_codes_csv(path: OrganizationPath, query: ImportQuery) -> Response:
    """Make codes from CSV of at most 10 MiB and 100,000 rows: all or none, unless `partial`.

    The first line names the columns, in any order. Up to 1,000 rows are answered 201; more are added by a worker, and
    `status_url` tells how far it is.
    """
    with spooled_body() as file:
        table = open_csv(file)
        rows = list(islice(table.rows, MAX_SYNCHRONOUS_ROWS + 1))
        if len(rows) > MAX_SYNCHRONOUS_ROWS:
            response = run_once(current_caller().id, lambda: _start_import(path.org_id, file, partial=query.partial))
            background_sender.submit(ImportsPending())
            return response
    judged = [rules.validate_row(table.columns, row, codes.generate_code_text) for row in rows]

    def add() -> Response:
        return _add(path.org_id, judged, lambda line: f"body.lines.{line}", partial=query.partial)

    return run_once(current_caller().id, add)


@api.get("/imports/<import_id>", responses={200: ImportResponse})
@requires_role("admin", scope="codes:write")
def get_import(path: ImportPath) -> dict[str, Any]:
    """How far an import is, and what became of its rows. Kept for a week after its end."""
    with db.connection() as conn:
        return _import(conn, _find(conn, path.org_id, path.import_id))


@api.get(
    "/qr-codes/export",
    responses={200: {"description": "Every code, one a row, in the columns that import takes", "content": CSV}},
)
@requires_role("analyst", scope="codes:read")
def export_codes_csv(path: OrganizationPath) -> Response:
    """All codes as CSV, oldest first. Solutions of puzzles are told to admins and owners only."""
    columns = [
        name for name in csv_cells.COLUMNS if name != csv_cells.SOLUTION or includes_role(current_role(), "admin")
    ]
    with db.connection() as conn:
        slug = organizations.get_slug(conn, path.org_id)
    written = SlotBoundIterator(lambda: prime(_format(path.org_id, columns)))
    headers = {"Content-Disposition": f'attachment; filename="qr-codes-{slug}.csv"'}
    return Response(written, headers=headers, content_type="text/csv; charset=utf-8")


def _add(org_id: UUID, judged: Sequence[RowResult], place: Callable[[int], str], *, partial: bool) -> Response:
    """Add codes while the client waits. Raises RowsRefused, with which nothing stays; `place` names a row in it."""
    with transaction() as conn:
        job = store.create(conn, org_id, partial=partial, validated_rows=len(judged))
        staging.copy_candidates(conn, job.id, judged)
        commit.commit(conn, job)
        told = _import(conn, _find(conn, org_id, job.id))
        if told["status"] == "failed":
            wrong = [row for row in told["rows"] if row["status"] == "failed"]
            faults = [
                FieldError(".".join(filter(None, (place(row["line"]), row["field"]))), row["message"]) for row in wrong
            ]
            raise InvalidRows(told["message"], faults, told["rows"])
        new = {"codes": told["done"], "failed": told["failed"]}
        record(conn, "codes.imported", org_id=org_id, object_id=job.id, new=new)
    return json_response(told, 201, Location=told["status_url"])


def _start_import(org_id: UUID, file: BinaryIO, *, partial: bool) -> Response:
    """Put a file's rows where workers find them."""
    file.seek(0)
    with transaction() as conn:
        table = open_csv(file)
        job = store.create(conn, org_id, table.columns, partial=partial)
        total = staging.copy_rows(conn, job.id, table.rows)
        store.set_total(conn, job.id, total)
        record(conn, "import.started", org_id=org_id, object_id=job.id, new={"rows": total, "partial": partial})
        told = _import(conn, _find(conn, org_id, job.id))
    return json_response(told, 202, Location=told["status_url"], Retry_After="1")


def _find(conn: Conn, org_id: UUID, import_id: UUID) -> ImportJob:
    found = store.find(conn, org_id, import_id)
    if found is None:
        raise NotFound
    return found


def _import(conn: Conn, found: ImportJob) -> dict[str, Any]:
    told = vars(found) | {
        "progress": found.progress,
        "rows": found.outcomes if found.is_finished else store.list_failures(conn, found.id),
        "status_url": f"/api/organizations/{found.org_id}/imports/{found.id}",
    }
    return ImportResponse.model_validate(told).model_dump(mode="json")


def _format(org_id: UUID, columns: Sequence[str]) -> Iterator[str]:
    """The header, then the codes there are now, page by page: a client that reads slowly holds no connection."""
    text = StringIO()
    sheet = csv.DictWriter(text, columns, extrasaction="ignore")
    sheet.writeheader()
    after = LOWEST
    with db.connection() as conn:
        until = codes.max_id(conn, org_id) or LOWEST
    while True:
        with db.connection() as conn:
            page = codes.list_range(conn, org_id, after=after, until=until, limit=PAGE)
            destinations = {code.destination_code for code in page if code.destination_code}
            there = codes.find_existing(conn, org_id, destinations, until=until)
        for code in page:
            leads = code.destination_code if code.destination_code in there else None  # import takes none to nowhere
            sheet.writerow(csv_cells.write(replace(code, destination_code=leads)))
        yield text.getvalue()
        if len(page) < PAGE:
            return
        after = page[-1].id
        text.seek(0)
        text.truncate()
