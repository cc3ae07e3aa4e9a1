"""Import codes from a CSV file: choose and check it, and follow the import of a large one."""

from uuid import UUID

from flask import Flask, Response

from shared.errors import NotFound
from shared.imports import store
from shared.imports.csv_cells import COLUMNS
from shared.infra import db
from web.http.auth import current_organization, page_requires_role
from web.http.request_context import takes_any_query
from web.pages.staff import render_staff_page


def init_app(app: Flask) -> None:
    """Register the pages."""
    app.add_url_rule("/o/<slug>/codes/import", "staff.open_import", open_import)
    app.add_url_rule("/o/<slug>/codes/imports/<import_id>", "staff.open_import_progress", open_import_progress)


@page_requires_role("admin")
@takes_any_query
def open_import() -> Response:
    """Show the form that checks a file and imports its rows."""
    return render_staff_page(
        "imports/new.html",
        active="codes",
        modules=("pages/import.js",),
        columns=COLUMNS,
    )


@page_requires_role("admin")
@takes_any_query
def open_import_progress(import_id: UUID) -> Response:
    """Show the progress or the outcome of an import."""
    org_id = current_organization().id
    with db.connection() as conn:
        job = store.find(conn, org_id, import_id)
        if job is None:
            raise NotFound
        rows = job.outcomes if job.is_finished else store.list_failures(conn, job.id)
    return render_staff_page(
        "imports/progress.html",
        active="codes",
        modules=("pages/import-progress.js",),
        job=job,
        failed_rows=[row for row in rows if row["status"] == "failed"],
        status_url=f"/api/organizations/{org_id}/imports/{job.id}",
    )
