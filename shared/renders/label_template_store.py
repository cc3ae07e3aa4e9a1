"""Label templates of organizations in PostgreSQL, beside the built-in ones."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import kwargs_row

from shared.errors import LabelTemplateTaken, TooManyLabelTemplates
from shared.infra.constraint_errors import translate_constraint_errors
from shared.infra.db import Conn, exactly_one
from shared.renders.label_templates import SOLD_AS, TEMPLATES, LabelTemplate

MAX_TEMPLATES = 100
"""Of one organization, so that a list is one page."""


@dataclass(frozen=True, kw_only=True)
class NamedTemplate:
    """A label template. A built-in one has its name as `id`, the product that it fits, and no times."""

    id: UUID | str
    name: str
    sheet: LabelTemplate
    product: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None

    @property
    def is_built_in(self) -> bool:
        return self.product is not None


BUILT_IN = {
    name: NamedTemplate(id=name, name=name, sheet=sheet, product=SOLD_AS[name]) for name, sheet in TEMPLATES.items()
}


def _to_template(id: UUID, name: str, created_at: datetime, updated_at: datetime, **sheet: Any) -> NamedTemplate:  # noqa: A002
    return NamedTemplate(id=id, name=name, sheet=LabelTemplate(**sheet), created_at=created_at, updated_at=updated_at)


def list_for_organization(conn: Conn, org_id: UUID) -> list[NamedTemplate]:
    """Return the label templates of an organization, by name."""
    with conn.cursor(row_factory=kwargs_row(_to_template)) as cursor:
        return cursor.execute(
            """
            SELECT id, name, created_at, updated_at, page_width_mm, page_height_mm, left_margin_mm, top_margin_mm,
                   columns, rows, label_width_mm, label_height_mm, column_pitch_mm, row_pitch_mm
            FROM label_templates WHERE org_id = %(org_id)s ORDER BY name
            """,
            {"org_id": org_id},
        ).fetchall()


def find(conn: Conn, org_id: UUID, id_or_name: str) -> NamedTemplate | None:
    """Return the template with this id, or else with this name: a built-in one, or one of the organization."""
    if id_or_name in BUILT_IN:
        return BUILT_IN[id_or_name]
    with conn.cursor(row_factory=kwargs_row(_to_template)) as cursor:
        return cursor.execute(
            """
            SELECT id, name, created_at, updated_at, page_width_mm, page_height_mm, left_margin_mm, top_margin_mm,
                   columns, rows, label_width_mm, label_height_mm, column_pitch_mm, row_pitch_mm
            FROM label_templates WHERE org_id = %(org_id)s AND (id::text = lower(%(text)s) OR name = %(text)s)
            ORDER BY name = %(text)s LIMIT 1
            """,
            {"org_id": org_id, "text": id_or_name},
        ).fetchone()


@translate_constraint_errors()
def add(conn: Conn, org_id: UUID, name: str, sheet: LabelTemplate) -> UUID:
    """Store a label template, and return its id. Raise LabelTemplateTaken and TooManyLabelTemplates."""
    _check_name(name)
    # Without a lock: requests that arrive at once may exceed the limit by a few.
    (count,) = exactly_one(
        conn.execute("SELECT count(*) FROM label_templates WHERE org_id = %(org_id)s", {"org_id": org_id})
    )
    if count >= MAX_TEMPLATES:
        raise TooManyLabelTemplates
    row = conn.execute(
        """
        INSERT INTO label_templates
            (org_id, name, page_width_mm, page_height_mm, left_margin_mm, top_margin_mm, columns, rows,
             label_width_mm, label_height_mm, column_pitch_mm, row_pitch_mm)
        VALUES (%(org_id)s, %(name)s, %(page_width_mm)s, %(page_height_mm)s, %(left_margin_mm)s, %(top_margin_mm)s,
                %(columns)s, %(rows)s, %(label_width_mm)s, %(label_height_mm)s, %(column_pitch_mm)s, %(row_pitch_mm)s)
        RETURNING id
        """,
        asdict(sheet) | {"org_id": org_id, "name": name},
    )
    template_id: UUID = exactly_one(row)[0]
    return template_id


@translate_constraint_errors()
def save(conn: Conn, org_id: UUID, template_id: UUID, name: str, sheet: LabelTemplate) -> None:
    """Replace name and measures of a label template. Raise LabelTemplateTaken."""
    _check_name(name)
    conn.execute(
        """
        UPDATE label_templates
        SET name = %(name)s, page_width_mm = %(page_width_mm)s, page_height_mm = %(page_height_mm)s,
            left_margin_mm = %(left_margin_mm)s, top_margin_mm = %(top_margin_mm)s, columns = %(columns)s,
            rows = %(rows)s, label_width_mm = %(label_width_mm)s, label_height_mm = %(label_height_mm)s,
            column_pitch_mm = %(column_pitch_mm)s, row_pitch_mm = %(row_pitch_mm)s, updated_at = now()
        WHERE org_id = %(org_id)s AND id = %(id)s
        """,
        asdict(sheet) | {"org_id": org_id, "id": template_id, "name": name},
    )


def lock(conn: Conn, org_id: UUID, template_id: UUID) -> NamedTemplate | None:
    """Lock a label template until the transaction ends, and return it. None if the organization has none of this id."""
    # One row, so no order of locks.
    with conn.cursor(row_factory=kwargs_row(_to_template)) as cursor:
        return cursor.execute(
            """
            SELECT id, name, created_at, updated_at, page_width_mm, page_height_mm, left_margin_mm, top_margin_mm,
                   columns, rows, label_width_mm, label_height_mm, column_pitch_mm, row_pitch_mm
            FROM label_templates WHERE org_id = %(org_id)s AND id = %(id)s
            FOR UPDATE
            """,
            {"org_id": org_id, "id": template_id},
        ).fetchone()


def delete(conn: Conn, org_id: UUID, template_id: UUID) -> None:
    """Delete a label template. Renders that were requested with it continue."""
    conn.execute(
        "DELETE FROM label_templates WHERE org_id = %(org_id)s AND id = %(id)s", {"org_id": org_id, "id": template_id}
    )


def _check_name(name: str) -> None:
    if name in BUILT_IN:
        raise LabelTemplateTaken
