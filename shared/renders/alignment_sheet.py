"""A page that shows whether a printer meets the labels of a template: outlines, crosshairs, rulers and a note.

Importing this module loads Pillow.
"""

from shared.images import pdf_writer
from shared.images.pdf_writer import FONT
from shared.renders.label_templates import LabelTemplate

MM = 72 / 25.4
"""Points per millimeter."""
HAIRLINE = 0.1
"""Width of a line in millimeters."""
CROSS = 2.0
"""Length of an arm of a crosshair, in millimeters."""
RULER_INSET = 5.0
"""Distance of a ruler from its edge of the page, in millimeters: printers leave less than that blank."""
TEXT_SIZES = (9.0, 7.0, 5.0)
"""In points. The largest that fits the page is used."""
CHARACTER_WIDTH = 0.6
"""Width of a character relative to its size, on average and with room to spare."""


def render_sheet(name: str, template: LabelTemplate) -> bytes:
    """Return a PDF with one page. Equal input gives equal bytes."""
    width, height = template.page
    drawing = [
        # Millimeters from the upper left of the page.
        f"q {MM:.6f} 0 0 {-MM:.6f} 0 {height * MM:.4f} cm",
        f"{HAIRLINE} w 0.35 G",
        *_outlines(template),
        "0 G",
        *_crosshairs(template),
        *_ruler(width, height, across=True),
        *_ruler(height, width, across=False),
        "Q",
        *_note(name, template),
    ]
    return pdf_writer.write("\n".join(drawing), (width * MM, height * MM))


def _outlines(template: LabelTemplate) -> list[str]:
    corners = (template.corner(index) for index in range(template.per_page))
    size = f"{template.label_width_mm:.4f} {template.label_height_mm:.4f}"
    return [f"{left:.4f} {top:.4f} {size} re S" for left, top in corners]


def _crosshairs(template: LabelTemplate) -> list[str]:
    """Draw a cross in the middle of the first and the last label, which drift the furthest apart."""
    lines = []
    for index in (0, template.per_page - 1):
        left, top = template.corner(index)
        x, y = left + template.label_width_mm / 2, top + template.label_height_mm / 2
        lines.append(f"{x - CROSS:.4f} {y:.4f} m {x + CROSS:.4f} {y:.4f} l S")
        lines.append(f"{x:.4f} {y - CROSS:.4f} m {x:.4f} {y + CROSS:.4f} l S")
    return lines


def _ruler(length: float, other: float, *, across: bool) -> list[str]:
    """Draw a ruler of whole centimeters in the middle of the page, parallel to one side, with a mark per millimeter."""
    millimeters = int((length - 2 * RULER_INSET) // 10) * 10
    start, middle = (length - millimeters) / 2, other / 2
    lines = []
    for at in range(millimeters + 1):
        mark = 3.0 if at % 10 == 0 else 2.0 if at % 5 == 0 else 1.0
        x, y, to_x, to_y = (start + at, middle, start + at, middle + mark)
        if not across:
            x, y, to_x, to_y = y, x, to_y, to_x
        lines.append(f"{x:.4f} {y:.4f} m {to_x:.4f} {to_y:.4f} l S")
    return lines


def _note(name: str, template: LabelTemplate) -> list[str]:
    """Write what to do into the middle of the first label, on white."""
    printable = "".join(c if c.isascii() and c.isprintable() else "?" for c in name)
    lines = (f"Waymark test sheet: {printable}", "Print at 100 %, without scaling.", "Marks are 1 mm apart.")
    room = (template.label_width_mm - 2) * MM
    longest = max(map(len, lines)) * CHARACTER_WIDTH
    size = next((size for size in TEXT_SIZES if longest * size <= room), TEXT_SIZES[-1])
    characters = max(1, int(room / (size * CHARACTER_WIDTH)))
    left, top = template.corner(0)
    x, y = (left + 1) * MM, (template.page_height_mm - top - 1) * MM - size
    escaped = (line[:characters].replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)") for line in lines)
    shown = " ".join(f"({line}) Tj T*" for line in escaped)
    return [f"BT /{FONT} {size} Tf {size * 1.3:.2f} TL {x:.4f} {y:.4f} Td {shown} ET"]
