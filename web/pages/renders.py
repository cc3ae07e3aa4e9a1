"""Bulk images and label sheets: the list, the form with the label templates as drawings, and the progress of one."""

from uuid import UUID

from flask import Flask, Response, request

from shared.codes import store, tags
from shared.errors import NotFound
from shared.images.image_spec import MAX_SIZE, MIN_SIZE
from shared.infra import db
from shared.organizations import usage
from shared.renders import label_template_store
from shared.renders import store as renders
from shared.renders.label_templates import MAX_LABELS, MAX_PAGE, MIN_LABEL, MIN_PAGE, TEMPLATES
from shared.renders.rules import MAX_CODES, OPEN_STATUSES
from web.http.auth import current_organization, page_requires_role
from web.http.pagination import decode_id, paginate
from web.http.request_context import takes_any_query
from web.pages.staff import render_staff_page

PAGE_SIZE = 50
MAX_TAGS = 500
"""Tags that the form offers. A selection in the list of codes works for any other."""


def init_app(app: Flask) -> None:
    """Register the pages."""
    app.add_url_rule("/o/<slug>/renders", "staff.open_renders", open_renders)
    app.add_url_rule("/o/<slug>/renders/new", "staff.open_new_render", open_new_render)
    app.add_url_rule("/o/<slug>/renders/<render_id>", "staff.open_render", open_render)


@page_requires_role("admin")
@takes_any_query
def open_renders() -> Response:
    """Show renders, newest first. Of a page, those that are still open come first."""
    before = decode_id(request.args.get("cursor"))
    with db.connection() as conn:
        found = renders.list_for_organization(conn, current_organization().id, limit=PAGE_SIZE + 1, before=before)
    page, next_cursor = paginate(found, PAGE_SIZE, lambda render: (str(render.id),))
    return render_staff_page(
        "renders/list.html",
        active="renders",
        modules=("pages/renders.js",),
        renders=sorted(page, key=lambda render: render.status not in OPEN_STATUSES),
        open_statuses=OPEN_STATUSES,
        sample=TEMPLATES["a4-3x8"],
        more=next_cursor and f"?cursor={next_cursor}",
    )


@page_requires_role("admin")
@takes_any_query
def open_new_render() -> Response:
    """Show the form that starts a render: of label sheets, or with `output=zip` in the query, of images."""
    org_id = current_organization().id
    with db.connection() as conn:
        custom = label_template_store.list_for_organization(conn, org_id)
        found_tags = tags.list_for_organization(conn, org_id, "", limit=MAX_TAGS)
        total = usage.count_codes(conn, org_id)
    return render_staff_page(
        "renders/new.html",
        active="renders",
        modules=("pages/new-render.js",) if total else (),
        templates=[*label_template_store.BUILT_IN.values(), *custom],
        tags=found_tags,
        total=total,
        makes_images=request.args.get("output") == "zip",
        max_codes=MAX_CODES,
        sizes=(MIN_SIZE, MAX_SIZE),
        limits={"page": (MIN_PAGE, MAX_PAGE), "label": (MIN_LABEL, MAX_PAGE), "labels": MAX_LABELS},
    )


@page_requires_role("admin")
@takes_any_query
def open_render(render_id: UUID) -> Response:
    """Show the progress of a render, or its file and the codes that failed."""
    org_id = current_organization().id
    with db.connection() as conn:
        render = renders.find(conn, org_id, render_id)
        if render is None:
            raise NotFound
        errors = renders.list_errors(conn, render.id) if render.failed else []
        texts = {code.id: code.code for code in store.list_by_ids(conn, org_id, [error.qr_id for error in errors])}
    return render_staff_page(
        "renders/detail.html",
        active="renders",
        modules=("pages/render.js",),
        render=render,
        is_open=render.status in OPEN_STATUSES,
        errors=[(error, texts.get(error.qr_id)) for error in errors],
    )
