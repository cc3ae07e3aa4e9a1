"""Commercial sheets of labels, in millimeters.

The measures are the manufacturer's: Avery Zweckform 3475, Avery L7163, L7160, L7161, L7165 and L7651 (A4), Avery 5160,
5161 and 5163 (US Letter, in inches of 25.4 mm). The labels are centered on the page.
"""

from dataclasses import dataclass
from typing import Literal

Caption = Literal["description", "code", "none"]

INCH = 25.4
A4 = (210.0, 297.0)
LETTER = (8.5 * INCH, 11 * INCH)


@dataclass(frozen=True)
class LabelTemplate:
    """A sheet of labels. Sizes are width, height. `pitch` is the distance between the corners of adjacent labels."""

    page: tuple[float, float]
    columns: int
    rows: int
    label: tuple[float, float]
    pitch: tuple[float, float]
    sold_as: str

    @property
    def per_page(self) -> int:
        return self.columns * self.rows

    @property
    def margin(self) -> tuple[float, float]:
        """The distance of the first label from the left and the upper edge of the page."""
        across = (self.columns - 1) * self.pitch[0] + self.label[0]
        down = (self.rows - 1) * self.pitch[1] + self.label[1]
        return (self.page[0] - across) / 2, (self.page[1] - down) / 2

    def corner(self, index: int) -> tuple[float, float]:
        """Return the upper left corner of a label, from the upper left of its page. Labels are counted by rows."""
        row, column = divmod(index % self.per_page, self.columns)
        left, top = self.margin
        return left + column * self.pitch[0], top + row * self.pitch[1]


TEMPLATES = {
    "a4-3x8": LabelTemplate(A4, 3, 8, (70.0, 36.0), (70.0, 36.0), "Avery Zweckform 3475"),
    "a4-2x7": LabelTemplate(A4, 2, 7, (99.1, 38.1), (101.6, 38.1), "Avery L7163"),
    "a4-3x7": LabelTemplate(A4, 3, 7, (63.5, 38.1), (66.04, 38.1), "Avery L7160"),
    "a4-3x6": LabelTemplate(A4, 3, 6, (63.5, 46.6), (66.04, 46.6), "Avery L7161"),
    "a4-2x4": LabelTemplate(A4, 2, 4, (99.1, 67.7), (101.6, 67.7), "Avery L7165"),
    "a4-5x13": LabelTemplate(A4, 5, 13, (38.1, 21.2), (40.6, 21.2), "Avery L7651"),
    "letter-3x10": LabelTemplate(LETTER, 3, 10, (2.625 * INCH, INCH), (2.75 * INCH, INCH), "Avery 5160"),
    "letter-2x10": LabelTemplate(LETTER, 2, 10, (4 * INCH, INCH), (4.1875 * INCH, INCH), "Avery 5161"),
    "letter-2x5": LabelTemplate(LETTER, 2, 5, (4 * INCH, 2 * INCH), (4.1875 * INCH, 2 * INCH), "Avery 5163"),
}
"""By the names in requests: paper, columns, rows."""
