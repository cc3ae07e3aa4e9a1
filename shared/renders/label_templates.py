"""Sheets of labels, in millimeters: the built-in ones, and the rules for those of an organization. Pure.

The measures of the built-in templates are the manufacturer's: Avery Zweckform 3475, Avery L7163, L7160, L7161, L7165
and L7651 (A4), Avery 5160, 5161 and 5163 (US Letter, in inches of 25.4 mm). Their labels are centered on the page.
"""

from dataclasses import dataclass
from typing import Literal

from shared.errors import FieldError

Caption = Literal["description", "code", "none"]

INCH = 25.4
A4 = (210.0, 297.0)
LETTER = (8.5 * INCH, 11 * INCH)

MIN_PAGE, MAX_PAGE = 20, 500
"""Sides of a page in millimeters: from a label printer's roll to SRA3."""
MIN_LABEL = 10
"""Sides of a label in millimeters: the smallest symbol with its quiet zone."""
MAX_LABELS = 200
"""Labels of a page, which is the least work that a worker does at once."""
TOLERANCE = 0.005
"""In millimeters. Sums of measures such as 66.04 are inexact."""


@dataclass(frozen=True, kw_only=True)
class LabelTemplate:
    """A sheet of labels. A pitch is the distance between the same edges of adjacent labels.

    The margins are the distances of the first label from the left and the upper edge of the page.
    """

    page_width_mm: float
    page_height_mm: float
    left_margin_mm: float
    top_margin_mm: float
    columns: int
    rows: int
    label_width_mm: float
    label_height_mm: float
    column_pitch_mm: float
    row_pitch_mm: float

    @property
    def page(self) -> tuple[float, float]:
        """Width and height of the page."""
        return self.page_width_mm, self.page_height_mm

    @property
    def label(self) -> tuple[float, float]:
        """Width and height of a label."""
        return self.label_width_mm, self.label_height_mm

    @property
    def per_page(self) -> int:
        return self.columns * self.rows

    def corner(self, index: int) -> tuple[float, float]:
        """Return the upper left corner of a label, from the upper left of its page. Labels are counted by rows."""
        row, column = divmod(index % self.per_page, self.columns)
        return self.left_margin_mm + column * self.column_pitch_mm, self.top_margin_mm + row * self.row_pitch_mm


def find_misplaced(template: LabelTemplate) -> list[FieldError]:
    """Return what keeps the labels from lying on the page side by side; empty if nothing does."""
    errors = []
    if template.per_page > MAX_LABELS:
        message = f"Use at most {MAX_LABELS} labels on a page. This page has {template.per_page}."
        errors.append(FieldError("body.rows", message))
    for field, count, pitch, length in (
        ("column_pitch_mm", template.columns, template.column_pitch_mm, template.label_width_mm),
        ("row_pitch_mm", template.rows, template.row_pitch_mm, template.label_height_mm),
    ):
        if count > 1 and pitch < length - TOLERANCE:
            message = f"Use at least {length:g}, the size of a label. Otherwise labels overlap."
            errors.append(FieldError(f"body.{field}", message))
    right, bottom = (
        corner + length for corner, length in zip(template.corner(template.per_page - 1), template.label, strict=True)
    )
    for field, name, end, side in (
        ("page_width_mm", "right", right, template.page_width_mm),
        ("page_height_mm", "lower", bottom, template.page_height_mm),
    ):
        if end > side + TOLERANCE:
            message = f"The labels leave the page at its {name} edge: the last one ends at {end:.2f} of {side:g} mm."
            errors.append(FieldError(f"body.{field}", message))
    return errors


def _centered(
    page: tuple[float, float], columns: int, rows: int, label: tuple[float, float], pitch: tuple[float, float]
) -> LabelTemplate:
    return LabelTemplate(
        page_width_mm=page[0],
        page_height_mm=page[1],
        left_margin_mm=(page[0] - (columns - 1) * pitch[0] - label[0]) / 2,
        top_margin_mm=(page[1] - (rows - 1) * pitch[1] - label[1]) / 2,
        columns=columns,
        rows=rows,
        label_width_mm=label[0],
        label_height_mm=label[1],
        column_pitch_mm=pitch[0],
        row_pitch_mm=pitch[1],
    )


TEMPLATES = {
    "a4-3x8": _centered(A4, 3, 8, (70.0, 36.0), (70.0, 36.0)),
    "a4-2x7": _centered(A4, 2, 7, (99.1, 38.1), (101.6, 38.1)),
    "a4-3x7": _centered(A4, 3, 7, (63.5, 38.1), (66.04, 38.1)),
    "a4-3x6": _centered(A4, 3, 6, (63.5, 46.6), (66.04, 46.6)),
    "a4-2x4": _centered(A4, 2, 4, (99.1, 67.7), (101.6, 67.7)),
    "a4-5x13": _centered(A4, 5, 13, (38.1, 21.2), (40.6, 21.2)),
    "letter-3x10": _centered(LETTER, 3, 10, (2.625 * INCH, INCH), (2.75 * INCH, INCH)),
    "letter-2x10": _centered(LETTER, 2, 10, (4 * INCH, INCH), (4.1875 * INCH, INCH)),
    "letter-2x5": _centered(LETTER, 2, 5, (4 * INCH, 2 * INCH), (4.1875 * INCH, 2 * INCH)),
}
"""By the names in requests: paper, columns, rows."""

SOLD_AS = {
    "a4-3x8": "Avery Zweckform 3475",
    "a4-2x7": "Avery L7163",
    "a4-3x7": "Avery L7160",
    "a4-3x6": "Avery L7161",
    "a4-2x4": "Avery L7165",
    "a4-5x13": "Avery L7651",
    "letter-3x10": "Avery 5160",
    "letter-2x10": "Avery 5161",
    "letter-2x5": "Avery 5163",
}
"""The product that each built-in template fits."""
