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
from pydantic import Field

from shared.codes import store as codes
from shared.errors import Fault, NotFound, RowsRefused
from shared.imports import commit, csv_cells, rules, staging, store
from shared.imports.csv_reader import open_table
from shared.imports.rules import AT_ONCE, Import, Judged, RowStatus, Status
from shared.infra import db
from shared.infra.db import Conn
from shared.infra.ids import LOWEST
from shared.messages import ImportsPending, nudger
from shared.organizations import store as organizations
from shared.organizations.rules import at_least
from web.api.audit import audit
from web.api.organizations import OrganizationPath
from web.http.auth import caller, requires_role, role
from web.http.file_responses import InPlace, begun
from web.http.idempotency import answer_once, idempotent, takes_key, transaction
from web.http.request_context import takes_file, takes_up_to
from web.http.responses import answer
from web.http.schemas import Answer, Body, Id, Query, QueryFlag
from web.http.uploads import received

api = APIBlueprint("imports", __name__, url_prefix="/api/organizations/<org_id>", abp_tags=[Tag(name="QR codes")])

MAX_BYTES = 10 * 2**20
PAGE = 200
"""Codes of an export that are in memory at once: each may have a puzzle of a mebibyte."""
CSV = {"text/csv": {"schema": {"type": "string"}}}


class ImportPath(OrganizationPath):
    import_id: Id


class ImportQuery(Query):
    partial: QueryFlag = Field(False, description="Add the rows that are right, even if others are wrong")


class BulkBody(Body):
    codes: Annotated[list[dict[str, Any]], Field(max_length=AT_ONCE, description="Each as for making a single one")]


class RowAnswer(Answer):
    """What became of a row."""

    line: int = Field(description="Of the file, where the row begins; in a list its place, from 1")
    status: RowStatus
    field: str | None = Field(description="The column that is wrong; null: the row as a whole")
    message: str | None
    code: str | None
    qr_id: Id | None


class ImportAnswer(Answer):
    """Codes handed in together."""

    id: Id
    status: Status
    partial: bool
    total: int
    done: int = Field(description="Rows added")
    failed: int = Field(description="Rows that are wrong")
    progress: float = Field(ge=0, le=1)
    message: str | None = Field(description="Why nothing was added")
    rows: list[RowAnswer] = Field(description="At most 1,000, failures first; failures only until it is over")
    status_url: str


@api.post("/qr-codes/bulk", responses={201: ImportAnswer, 409: None})
@requires_role("admin", scope="codes:write")
@idempotent
@takes_up_to(MAX_BYTES)
def import_list(path: OrganizationPath, query: ImportQuery, body: BulkBody) -> Response:
    """Make up to 1,000 codes: all or none, unless `partial`."""
    judged = [rules.judge(place, code, codes.mint) for place, code in enumerate(body.codes, 1)]
    return _add(path.org_id, judged, lambda line: f"body.codes.{line - 1}", partial=query.partial)


@api.post(
    "/qr-codes/import",
    request_body={"required": True, "content": CSV},
    responses={201: ImportAnswer, 202: ImportAnswer, 409: None, 413: None, 415: None},
)
@requires_role("admin", scope="codes:write")
@takes_key
@takes_file("text/csv", MAX_BYTES)
def import_file(path: OrganizationPath, query: ImportQuery) -> Response:
    """Make codes from CSV of at most 10 MiB and 100,000 rows: all or none, unless `partial`.

    The first line names the columns, in any order. Up to 1,000 rows are answered 201; more are added by a worker, and
    `status_url` tells how far it is.
    """
    with received() as file:
        table = open_table(file)
        rows = list(islice(table.rows, AT_ONCE + 1))
        if len(rows) > AT_ONCE:
            response = answer_once(caller().id, lambda: _stage(path.org_id, file, partial=query.partial))
            nudger.nudge(ImportsPending())
            return response
    judged = [rules.judge_row(table.columns, row, codes.mint) for row in rows]

    def add() -> Response:
        return _add(path.org_id, judged, lambda line: f"body.lines.{line}", partial=query.partial)

    return answer_once(caller().id, add)


@api.get("/imports/<import_id>", responses={200: ImportAnswer})
@requires_role("admin", scope="codes:write")
def look_up(path: ImportPath) -> dict[str, Any]:
    """How far an import is, and what became of its rows. Kept for a week after its end."""
    with db.connection() as conn:
        return _import(conn, _find(conn, path.org_id, path.import_id))


@api.get(
    "/qr-codes/export",
    responses={200: {"description": "Every code, one a row, in the columns that import takes", "content": CSV}},
)
@requires_role("analyst", scope="codes:read")
def export(path: OrganizationPath) -> Response:
    """All codes as CSV, oldest first. Solutions of puzzles are told to admins and owners only."""
    columns = [name for name in csv_cells.COLUMNS if name != csv_cells.SOLUTION or at_least(role(), "admin")]
    with db.connection() as conn:
        slug = organizations.slug(conn, path.org_id)
    written = InPlace(lambda: begun(_written(path.org_id, columns)))
    headers = {"Content-Disposition": f'attachment; filename="qr-codes-{slug}.csv"'}
    return Response(written, headers=headers, content_type="text/csv; charset=utf-8")


def _add(org_id: UUID, judged: Sequence[Judged], place: Callable[[int], str], *, partial: bool) -> Response:
    """Add codes while the client waits. Raises RowsRefused, with which nothing stays; `place` names a row in it."""
    with transaction() as conn:
        job = store.begin(conn, org_id, partial=partial, judged=len(judged))
        staging.put_codes(conn, job.id, judged)
        commit.conclude(conn, job)
        told = _import(conn, _find(conn, org_id, job.id))
        if told["status"] == "failed":
            wrong = [row for row in told["rows"] if row["status"] == "failed"]
            faults = [
                Fault(".".join(filter(None, (place(row["line"]), row["field"]))), row["message"]) for row in wrong
            ]
            raise RowsRefused(told["message"], faults, told["rows"])
        new = {"codes": told["done"], "failed": told["failed"]}
        audit(conn, "codes.imported", org_id=org_id, object_id=job.id, new=new)
    return answer(told, 201, Location=told["status_url"])


def _stage(org_id: UUID, file: BinaryIO, *, partial: bool) -> Response:
    """Put a file's rows where workers find them."""
    file.seek(0)
    with transaction() as conn:
        table = open_table(file)
        job = store.begin(conn, org_id, table.columns, partial=partial)
        total = staging.put_rows(conn, job.id, table.rows)
        store.set_total(conn, job.id, total)
        audit(conn, "import.started", org_id=org_id, object_id=job.id, new={"rows": total, "partial": partial})
        told = _import(conn, _find(conn, org_id, job.id))
    return answer(told, 202, Location=told["status_url"], Retry_After="1")


def _find(conn: Conn, org_id: UUID, import_id: UUID) -> Import:
    found = store.find(conn, org_id, import_id)
    if found is None:
        raise NotFound
    return found


def _import(conn: Conn, found: Import) -> dict[str, Any]:
    told = vars(found) | {
        "progress": found.progress,
        "rows": found.outcomes if found.is_over else store.failures(conn, found.id),
        "status_url": f"/api/organizations/{found.org_id}/imports/{found.id}",
    }
    return ImportAnswer.model_validate(told).model_dump(mode="json")


def _written(org_id: UUID, columns: Sequence[str]) -> Iterator[str]:
    """The header, then the codes there are now, page by page: a client that reads slowly holds no connection."""
    text = StringIO()
    sheet = csv.DictWriter(text, columns, extrasaction="ignore")
    sheet.writeheader()
    after = LOWEST
    with db.connection() as conn:
        until = codes.last_id(conn, org_id) or LOWEST
    while True:
        with db.connection() as conn:
            page = codes.oldest_first(conn, org_id, after=after, until=until, limit=PAGE)
            destinations = {code.destination_code for code in page if code.destination_code}
            there = codes.existing(conn, org_id, destinations, until=until)
        for code in page:
            leads = code.destination_code if code.destination_code in there else None  # import takes none to nowhere
            sheet.writerow(csv_cells.write(replace(code, destination_code=leads)))
        yield text.getvalue()
        if len(page) < PAGE:
            return
        after = page[-1].id
        text.seek(0)
        text.truncate()
