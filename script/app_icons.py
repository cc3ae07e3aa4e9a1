"""Draw the icons of the installed app from img/mark.svg. Run it after a change of the mark: script/app-icons."""

import re
from pathlib import Path

from PIL import Image, ImageDraw

IMAGES = Path(__file__).parent.parent / "web" / "pages" / "static" / "img"
ICONS = {
    "app-192.png": (192, 0.68),
    "app-512.png": (512, 0.68),
    "app-512-maskable.png": (512, 0.52),
    "apple-touch-icon.png": (180, 0.6),
}
"""Side in pixels, and the height of the mark. A maskable icon may be cut to a circle of 80 % of its side."""
PAPER = "#fbfaf7"
OVERSAMPLING = 8


def draw(side: int, share: float) -> Image.Image:
    """Return the mark in the middle of a square of paper. The system rounds its corners."""
    svg = (IMAGES / "mark.svg").read_text()
    width, height = map(float, re.findall(r'viewBox="0 0 (\d+) (\d+)"', svg)[0])
    large = side * OVERSAMPLING
    scale = large * share / height
    left, top = (large - width * scale) / 2, (large - height * scale) / 2
    image = Image.new("RGB", (large, large), PAPER)
    canvas = ImageDraw.Draw(image)
    for rectangle in re.findall("<rect ([^>]+)>", svg):
        shape = dict(re.findall(r'([\w-]+)="([^"]*)"', rectangle))
        x, y, w, h, rx = (float(shape[name]) * scale for name in ("x", "y", "width", "height", "rx"))
        canvas.rounded_rectangle((left + x, top + y, left + x + w, top + y + h), rx, fill=shape["fill"])
    return image.resize((side, side), Image.Resampling.LANCZOS)


def main() -> None:
    """Write all icons."""
    for name, (side, share) in ICONS.items():
        draw(side, share).save(IMAGES / name, optimize=True)


if __name__ == "__main__":
    main()
