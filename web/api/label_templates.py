"""Label templates over HTTP: the built-in ones, those of an organization, and a sheet to test the printer with."""

from typing import Annotated, Any
from uuid import UUID

from flask import Response
from flask_openapi import APIBlueprint, Tag
from pydantic import ConfigDict, Field

from shared.errors import BuiltInLabelTemplate, Invalid, NotFound
from shared.infra import db
from shared.infra.db import Conn
from shared.infra.event_loop import run_in_thread
from shared.renders import label_template_store as store
from shared.renders.label_template_store import NamedTemplate
from shared.renders.label_templates import MAX_LABELS, MAX_PAGE, MIN_LABEL, MIN_PAGE, LabelTemplate, find_misplaced
from web.http.audit_log import record, record_change
from web.http.auth import requires_role
from web.http.idempotency import idempotent, transaction
from web.http.schemas import (
    Body,
    FiniteFloat,
    Name,
    OrganizationPath,
    ResponseModel,
    Timestamp,
    WholeNumber,
)

api = APIBlueprint(
    "label_templates",
    __name__,
    url_prefix="/api/organizations/<org_id>/label-templates",
    abp_tags=[Tag(name="Renders")],
)

PageSide = Annotated[FiniteFloat, Field(ge=MIN_PAGE, le=MAX_PAGE)]
LabelSide = Annotated[FiniteFloat, Field(ge=MIN_LABEL, le=MAX_PAGE)]
Distance = Annotated[FiniteFloat, Field(ge=0, le=MAX_PAGE)]
Count = Annotated[int, WholeNumber(1, MAX_LABELS)]
EXAMPLE: dict[str, Any] = {
    "name": "Wine labels",
    "page_width_mm": 210,
    "page_height_mm": 297,
    "left_margin_mm": 8,
    "top_margin_mm": 13.5,
    "columns": 4,
    "rows": 6,
    "label_width_mm": 45.7,
    "label_height_mm": 45,
    "column_pitch_mm": 48.7,
    "row_pitch_mm": 45,
}
PDF_RESPONSE: dict[str, Any] = {
    "description": "The test sheet",
    "headers": {"Content-Disposition": {"schema": {"type": "string"}}},
    "content": {"application/pdf": {"schema": {"type": "string", "format": "binary"}}},
}


class LabelTemplateBody(Body):
    """The measures of a sheet of labels in millimeters. A pitch is from one label's edge to the next label's same edge.

    All labels must lie on the page, and none may overlap another.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    name: Name = Field(description="Unique in the organization, and not the name of a built-in template")
    page_width_mm: PageSide = Field(description="Width of the page")
    page_height_mm: PageSide = Field(description="Height of the page")
    left_margin_mm: Distance = Field(description="From the left edge of the page to the first label")
    top_margin_mm: Distance = Field(description="From the upper edge of the page to the first label")
    columns: Count = Field(description=f"A page has at most {MAX_LABELS} labels")
    rows: Count = Field(description=f"A page has at most {MAX_LABELS} labels")
    label_width_mm: LabelSide = Field(description="Width of a label")
    label_height_mm: LabelSide = Field(description="Height of a label")
    column_pitch_mm: Distance = Field(description="The label width and the gap between two columns")
    row_pitch_mm: Distance = Field(description="The label height and the gap between two rows")

    def to_sheet(self) -> LabelTemplate:
        """Return the measures. Raise Invalid if labels leave the page or overlap."""
        sheet = LabelTemplate(**self.model_dump(exclude={"name"}))
        if errors := find_misplaced(sheet):
            raise Invalid(*errors)
        return sheet


class LabelTemplatePath(OrganizationPath):
    template: str = Field(
        description="Id of a template of the organization, or name of a built-in one", examples=["a4-3x8"]
    )


class LabelTemplateResponse(ResponseModel):
    """A label template. A built-in one has its name as `id`, and cannot be changed."""

    id: str = Field(examples=["a4-3x8"])
    name: str = Field(examples=["a4-3x8"])
    built_in: bool = Field(description="True for a template of Waymark", examples=[True])
    product: str | None = Field(
        description="The product that a built-in template fits; null for others", examples=["Avery Zweckform 3475"]
    )
    labels: int = Field(description="Labels on a page", examples=[24])
    page_width_mm: float = Field(description="Width of the page", examples=[210.0])
    page_height_mm: float = Field(description="Height of the page", examples=[297.0])
    left_margin_mm: float = Field(description="From the left edge of the page to the first label", examples=[0.0])
    top_margin_mm: float = Field(description="From the upper edge of the page to the first label", examples=[4.5])
    columns: int = Field(description="Labels in a row", examples=[3])
    rows: int = Field(description="Rows of labels", examples=[8])
    label_width_mm: float = Field(description="Width of a label", examples=[70.0])
    label_height_mm: float = Field(description="Height of a label", examples=[36.0])
    column_pitch_mm: float = Field(description="The label width and the gap between two columns", examples=[70.0])
    row_pitch_mm: float = Field(description="The label height and the gap between two rows", examples=[36.0])
    test_sheet_url: str = Field(
        description="Path of the test sheet",
        examples=[
            f"{api.url_prefix}/a4-3x8/test-sheet.pdf".replace("<org_id>", "0197a6b0-0000-7000-8000-000000000001")
        ],
    )
    created_at: Timestamp | None = Field(description="Null for a built-in template")
    updated_at: Timestamp | None = Field(description="Null for a built-in template")


class LabelTemplatesResponse(ResponseModel):
    items: list[LabelTemplateResponse]
    next_cursor: None = Field(None, description="Always null: an organization has at most 100 templates")


@api.get("", responses={200: LabelTemplatesResponse})
@requires_role("admin", scope="renders")
def list_label_templates(path: OrganizationPath) -> dict[str, Any]:
    """List label templates

    Needs the role admin. The built-in templates, then those of the organization by name.
    """
    with db.connection() as conn:
        templates = [*store.BUILT_IN.values(), *store.list_for_organization(conn, path.org_id)]
    return {"items": [_to_response(path.org_id, template) for template in templates], "next_cursor": None}


@api.post("", responses={201: LabelTemplateResponse, 409: None})
@requires_role("admin")
@idempotent
def create_label_template(path: OrganizationPath, body: LabelTemplateBody) -> tuple[dict[str, Any], int]:
    """Create a label template

    Needs the role admin. Use its id or name as `label.template` of a render. 409 if the name is taken, or if the
    organization has 100 templates.
    """
    sheet = body.to_sheet()
    with transaction() as conn:
        template_id = store.add(conn, path.org_id, body.name, sheet)
        created = _find(conn, path.org_id, str(template_id))
        new = _audit_fields(created)
        record(conn, "label_template.created", org_id=path.org_id, object_id=template_id, new=new)
    return _to_response(path.org_id, created), 201


@api.get("/<template>", responses={200: LabelTemplateResponse})
@requires_role("admin", scope="renders")
def get_label_template(path: LabelTemplatePath) -> dict[str, Any]:
    """Get a label template

    Needs the role admin.
    """
    with db.connection() as conn:
        return _to_response(path.org_id, _find(conn, path.org_id, path.template))


@api.put("/<template>", responses={200: LabelTemplateResponse, 409: None})
@requires_role("admin")
def update_label_template(path: LabelTemplatePath, body: LabelTemplateBody) -> dict[str, Any]:
    """Change a label template

    Needs the role admin. Replaces all measures. Renders that were requested before keep the measures of that time. 409
    if the name is taken, or for a built-in template.
    """
    sheet = body.to_sheet()
    with db.transaction() as conn:
        before, template_id = _lock(conn, path)
        store.save(conn, path.org_id, template_id, body.name, sheet)
        after = _find(conn, path.org_id, str(template_id))
        states = _audit_fields(before), _audit_fields(after)
        record_change(conn, "label_template.changed", *states, org_id=path.org_id, object_id=template_id)
    return _to_response(path.org_id, after)


@api.delete("/<template>", responses={204: None, 409: None})
@requires_role("admin")
def delete_label_template(path: LabelTemplatePath) -> tuple[str, int]:
    """Delete a label template

    Needs the role admin. Renders that were requested before continue. 409 for a built-in template.
    """
    with db.transaction() as conn:
        before, template_id = _lock(conn, path)
        store.delete(conn, path.org_id, template_id)
        old = _audit_fields(before)
        record(conn, "label_template.deleted", org_id=path.org_id, object_id=template_id, old=old)
    return "", 204


@api.get("/<template>/test-sheet.pdf", responses={200: PDF_RESPONSE})
@requires_role("admin", scope="renders")
def get_test_sheet(path: LabelTemplatePath) -> Response:
    """Get a sheet that tests the printer

    Needs the role admin. One page with the outline of each label, rulers and crosshairs. Print it on plain paper at
    100 %, and hold it against a sheet of labels.
    """
    with db.connection() as conn:
        template = _find(conn, path.org_id, path.template)

    def render() -> bytes:
        from shared.renders.alignment_sheet import render_sheet  # noqa: PLC0415 - loads zlib and Pillow on first use

        return render_sheet(template.name, template.sheet)

    headers = {"Content-Disposition": 'inline; filename="test-sheet.pdf"', "Cache-Control": "private, no-cache"}
    return Response(run_in_thread(render), headers=headers, content_type="application/pdf")


def _find(conn: Conn, org_id: UUID, id_or_name: str) -> NamedTemplate:
    template = store.find(conn, org_id, id_or_name)
    if template is None:
        raise NotFound
    return template


def _lock(conn: Conn, path: LabelTemplatePath) -> tuple[NamedTemplate, UUID]:
    """Lock a template of the organization. Return it with its id. Raise BuiltInLabelTemplate and NotFound."""
    found = _find(conn, path.org_id, path.template)
    if not isinstance(found.id, UUID):
        raise BuiltInLabelTemplate
    # The read is a statement of its own: it sees what another transaction committed while this one waited.
    template = store.lock(conn, path.org_id, found.id)
    if template is None:
        raise NotFound
    return template, found.id


def _audit_fields(template: NamedTemplate) -> dict[str, Any]:
    return {"name": template.name} | vars(template.sheet)


def _to_response(org_id: UUID, template: NamedTemplate) -> dict[str, Any]:
    fields = vars(template.sheet) | {
        "id": str(template.id),
        "name": template.name,
        "built_in": template.is_built_in,
        "product": template.product,
        "labels": template.sheet.per_page,
        "test_sheet_url": f"/api/organizations/{org_id}/label-templates/{template.id}/test-sheet.pdf",
        "created_at": template.created_at,
        "updated_at": template.updated_at,
    }
    return LabelTemplateResponse.model_validate(fields).model_dump(mode="json")
