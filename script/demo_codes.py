"""The demo's codes, made and printed as an organization would: some customized, one with a logo, one of any text."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageDraw

from script.contact_sheet import Print, make_sheet, read_back

if TYPE_CHECKING:
    from pathlib import Path

    from script.client import Client

LOOKS: dict[str, dict[str, Any]] = {
    "park": {"style": "rounded", "foreground_color": "#14532D", "background_color": "#F0FDF4"},
    "fountain": {"style": "dots", "foreground_color": "#1E3A8A"},
    "station": {"style": "rounded", "foreground_color": "#7F1D1D"},
    "golden": {"style": "dots", "foreground_color": "#713F12", "background_color": "#FEF3C7"},
}
"""How some of the codes are customized; the others are black squares on white."""
WITH_LOGO = "dam"


def print_codes(
    owner: Client, org: dict[str, Any], definitions: dict[str, dict[str, Any]], run: str, folder: Path
) -> dict[str, Print]:
    """Create every code, and save each image under the code's short name, and all of them on a contact sheet."""
    folder.mkdir(parents=True, exist_ok=True)
    path = f"/api/organizations/{org['id']}"
    prints = {}
    for name, fields in definitions.items():
        if "destination_code" in fields:
            fields["destination_code"] += f"-{run}"
        made = owner.post(f"{path}/qr-codes", {"code": f"{name}-{run}", **fields})
        code_path = f"{path}/qr-codes/{made['id']}"
        if name in LOOKS:
            owner.put(f"{code_path}/customization", LOOKS[name])
        if name == WITH_LOGO:
            owner.upload(f"{code_path}/customization/logo", "logo", logo())
        prints[name] = _print(owner, name, made["description"], f"{code_path}/image?size=300")
        (folder / f"{name}.png").write_bytes(prints[name].image)
    others = (business(owner, org, path), generated(owner))
    (folder / "contact-sheet.png").write_bytes(make_sheet(org["name"], [*prints.values(), *others]))
    return prints


def brand(owner: Client, org: dict[str, Any]) -> None:
    """Give the organization the color and the logo that players see."""
    path = f"/api/organizations/{org['id']}"
    owner.call("PATCH", path, {"color": "#B91C1C"})
    owner.upload(f"{path}/logo", "logo", logo())


def business(owner: Client, org: dict[str, Any], path: str) -> Print:
    """The organization's own code, which leads to its page."""
    return _print(owner, "business code", f"The page of {org['slug']}", f"{path}/qr-business/image?size=300")


def generated(owner: Client) -> Print:
    """A code of any text, that belongs to no organization and expires."""
    asked = {"data": "Meet me at the lion, at eight.", "expiration_hours": 24, "error_correction": "Q"}
    made = owner.post("/generate", asked)
    return _print(owner, "generated code", f"Gone at {made['expires_at'][:16]}Z", made["image_url"])


def logo() -> bytes:
    """A way mark as a PNG: a white arrow on a red disk."""
    with Image.new("RGBA", (240, 240)) as drawing:
        canvas = ImageDraw.Draw(drawing)
        canvas.ellipse((4, 4, 236, 236), "#B91C1C")
        canvas.polygon([(120, 44), (190, 120), (146, 120), (146, 196), (94, 196), (94, 120), (50, 120)], "#FFFFFF")
        written = BytesIO()
        drawing.save(written, "PNG")
    return written.getvalue()


def _print(owner: Client, title: str, note: str, path: str) -> Print:
    picture = owner.fetch("GET", path)
    return Print(title, note, picture, read_back(picture))
