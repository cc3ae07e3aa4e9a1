"""A PDF writer for one page with one drawing and at most one bitmap (ISO 32000-1).

It writes no date, so equal input gives equal bytes.
"""

import zlib

from PIL import Image

IMAGE, FONT = "Im0", "F0"
"""The names of the bitmap and of the font, Helvetica in its own encoding, in the content stream."""


def write(drawing: str, size: tuple[float, float], image: Image.Image | None = None) -> bytes:
    """Return a PDF with a page of this width and height in points, and this content stream. `image` is in RGBA."""
    # Every viewer has the font, so the file does not contain it.
    font = f"/Font <</{FONT} <</Type /Font /Subtype /Type1 /BaseFont /Helvetica>>>>" if f"/{FONT} " in drawing else ""
    resources = (f"/XObject <</{IMAGE} 5 0 R>>" if image else "") + font
    box = f"0 0 {size[0]:.6g} {size[1]:.6g}"
    objects = [
        # Viewers print at the true size, instead of fitting the page into the printer's margins.
        b"<</Type /Catalog /Pages 2 0 R /ViewerPreferences <</PrintScaling /None>>>>",
        b"<</Type /Pages /Kids [3 0 R] /Count 1>>",
        f"<</Type /Page /Parent 2 0 R /MediaBox [{box}] /Contents 4 0 R /Resources <<{resources}>>>>".encode(),
        _stream("", drawing.encode("ascii")),
    ]
    if image:
        form = f"/Type /XObject /Subtype /Image /Width {image.width} /Height {image.height} /BitsPerComponent 8"
        alpha = image.getchannel("A").tobytes()
        objects.append(_stream(f"{form} /ColorSpace /DeviceRGB /SMask 6 0 R", image.convert("RGB").tobytes()))
        objects.append(_stream(f"{form} /ColorSpace /DeviceGray", alpha))
    # Four bytes above 127 mark the file as binary.
    pdf = bytearray(b"%PDF-1.6\n%\xe2\xe3\xcf\xd3\n")
    offsets = []
    for number, content in enumerate(objects, 1):
        offsets.append(len(pdf))
        pdf += b"%d 0 obj\n%b\nendobj\n" % (number, content)
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    count = len(objects) + 1
    pdf += (
        f"xref\n0 {count}\n0000000000 65535 f \n{table}"
        f"trailer\n<</Size {count} /Root 1 0 R>>\nstartxref\n{len(pdf)}\n%%EOF\n"
    ).encode()
    return bytes(pdf)


def _stream(entries: str, data: bytes) -> bytes:
    packed = zlib.compress(data)
    return b"<<%b /Length %d /Filter /FlateDecode>>\nstream\n%b\nendstream" % (entries.encode(), len(packed), packed)
