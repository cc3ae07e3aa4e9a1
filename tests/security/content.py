"""Attacks on readers of other users' content: targets of codes, scripts in pages and images, spreadsheet formulas."""

import csv
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO, StringIO
from typing import Any
from unittest.mock import patch

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from shared.codes import target_urls
from shared.images import logos
from shared.imports import csv_cells
from shared.infra import schema_types
from shared.renders import manifest
from shared.visits import rules as visits
from tests.renders import factories
from tests.security.attack import (
    Attack,
    Attempt,
    Scene,
    all_of,
    replaced,
    taking_any_text,
    without_check,
)
from web.api import customizations, design_changes, organizations
from web.api.customizations import CustomizationBody
from web.api.organizations import OrganizationPatchBody
from web.pages import organizations as organization_pages
from web.pages import redirects
from web.pages import visits as code_pages

SCRIPT = "<script>alert(1)</script>"
FORMULAS = ("=1+1", "+1+1", "-1+1", "@SUM(1)", "\t=1+1", "\r=1+1")


def leading_to(target: str) -> Attempt:
    """A code that leads to another place than its URL shows."""

    def attempt(scene: Scene) -> bool:
        code = {"code": "poster", "scan_type": None, "target_url": target}
        if not scene.lets("POST", scene.attacker.codes, scene.attacker.owner, code):
            return False
        return bool(scene.client.get("/s/poster").status_code == 302)

    return attempt


def site_of_an_organization(scene: Scene) -> bool:
    body = {"name": "Museum", "slug": "museum", "url": "javascript:alert(1)"}
    scene.ask("POST", "/api/organizations", scene.attacker.owner, body)
    return bool(scene.client.get("/b/museum").status_code == 302)


def script_in_a_description(scene: Scene) -> bool:
    code = {"code": "poster", "scan_type": "item_drop", "description": SCRIPT}
    assert scene.lets("POST", scene.attacker.codes, scene.attacker.owner, code)
    return SCRIPT in scene.client.get("/s/poster").text


def script_in_a_name(scene: Scene) -> bool:
    body = {"name": f"Museum {SCRIPT}", "slug": "museum"}
    assert scene.lets("POST", "/api/organizations", scene.attacker.owner, body)
    return SCRIPT in scene.client.get("/b/museum").text


def script_in_a_color(scene: Scene) -> bool:
    path = f"{scene.attacker.codes}/{scene.own_code()}/customization"
    return scene.lets("PUT", path, scene.attacker.owner, {"foreground_color": f'#000"/>{SCRIPT}'})


def upload(scene: Scene, logo: bytes) -> str:
    """The path of a code that was given this logo; empty where it was refused."""
    path = f"{scene.attacker.codes}/{scene.own_code()}"
    headers = scene.attacker.owner.headers
    form = {"logo": (BytesIO(logo), "logo.png")}
    answer = scene.client.put(f"{path}/customization/logo", data=form, headers=headers)
    return path if answer.status_code == 200 else ""


def drawn(kind: str, **options: Any) -> bytes:
    written = BytesIO()
    Image.new("RGB", (40, 40), "red").save(written, kind, **options)
    return written.getvalue()


def script_in_a_logo(scene: Scene) -> bool:
    """In a PNG's own text, and behind its end: what is served to others still holds it."""
    about = PngInfo()
    about.add_text("Comment", SCRIPT)
    path = upload(scene, drawn("PNG", pnginfo=about) + SCRIPT.encode())
    svg = scene.client.get(f"{path}/image?format=svg", headers=scene.attacker.owner.headers).text
    logos_in_it = {part.split('"')[0] for part in svg.split("data:image/png;base64,")[1:]}
    return any(SCRIPT.encode() in b64decode(data) for data in logos_in_it)


def rules_in_a_brand_color(scene: Scene) -> bool:
    """A page of the organization would load an image of another host, and leak its visitors."""
    rule = "red);} body{background:url(//evil.example)} :root{--x:light-dark(red"
    scene.ask("PATCH", scene.attacker.path, scene.attacker.owner, {"slug": "museum", "color": rule})
    return "evil.example" in scene.client.get("/b/museum/brand.css").text


def logo_of_another_kind(scene: Scene) -> bool:
    """A decoder of an image format that Waymark does not need adds attack surface."""
    return any(upload(scene, drawn(kind)) for kind in ("BMP", "TIFF", "GIF", "ICO"))


def begins_like_a_formula(text: str) -> bool:
    return any(cell.startswith(tuple("=+-@\t\r")) for row in csv.reader(StringIO(text, newline="")) for cell in row)


def formula_in_an_export(scene: Scene) -> bool:
    for formula in FORMULAS:
        body = {"scan_type": "item_drop", "description": formula, "tags": ["=1+1"]}
        assert scene.lets("POST", scene.attacker.codes, scene.attacker.owner, body)
    return begins_like_a_formula(scene.ask("GET", f"{scene.attacker.codes}/export", scene.attacker.owner).text)


def formula_in_a_manifest(scene: Scene) -> bool:
    made = [scene.own_code(description=formula) for formula in FORMULAS]
    render = factories.add_render(scene.conn, scene.attacker.org_id, made)
    factories.work()
    rows = factories.read_manifest(factories.read_file(scene.conn, render))
    return any(cell.startswith(tuple("=+-@\t\r")) for row in rows for cell in row.values())


@contextmanager
def unescaped(scene: Scene) -> Iterator[None]:
    """Turn off the escaping of templates. Jinja decides about it when it compiles one."""
    templates = scene.app.jinja_env
    with patch.object(templates, "autoescape", False), patch.object(templates, "cache", None):
        yield


ANY_URL = all_of(
    replaced(schema_types, "is_web_url", lambda _: True),
    replaced(visits, "is_web_url", lambda _: True),
    replaced(target_urls, "leads_to_code", lambda *_: False),
    replaced(code_pages, "leads_to_code", lambda *_: False),
    replaced(organization_pages, "leads_to_code", lambda *_: False),
    replaced(redirects, "to_location", lambda url: url),
    without_check("qr_codes", "qr_codes_target_url_check"),
    without_check("organizations", "organizations_url_check"),
)
ANY_BRAND_COLOR = all_of(
    taking_any_text(OrganizationPatchBody, "color"),
    replaced(organizations, "page_colors", lambda color: (color, color)),
    without_check("organizations", "organizations_color_check"),
    without_check("organizations", "organizations_color_light_check"),
    without_check("organizations", "organizations_color_dark_check"),
)
ANY_COLOR = all_of(
    taking_any_text(CustomizationBody, "foreground_color"),
    replaced(customizations, "check_colors", lambda *_: []),
    replaced(customizations, "contrast_ratio", lambda *_: 21.0),
    replaced(design_changes, "check_readable", lambda *_, **__: None),
    without_check("qr_customizations", "qr_customizations_foreground"),
)


def as_it_is(text: str) -> str:
    return text


ATTACKS = [
    Attack("javascript: as target", leading_to("javascript:alert(1)"), ANY_URL),
    Attack("//evil as target", leading_to("//evil.example"), ANY_URL),
    Attack("\\evil as target", leading_to("\\\\evil.example"), ANY_URL),
    Attack("a backslash for a slash in a target", leading_to("https:\\\\evil.example"), ANY_URL),
    Attack("credentials that look like a host in a target", leading_to("https://good.example@evil.example"), ANY_URL),
    Attack("javascript: as an organization's url", site_of_an_organization, ANY_URL),
    Attack("script in a description", script_in_a_description, unescaped),
    Attack("script in an organization's name", script_in_a_name, unescaped),
    Attack("script in a color", script_in_a_color, ANY_COLOR),
    Attack("rules of a style sheet in a brand color", rules_in_a_brand_color, ANY_BRAND_COLOR),
    Attack("script in a logo", script_in_a_logo, replaced(logos, "sanitize_logo", lambda data: data)),
    Attack(
        "logo that is neither PNG nor JPEG",
        logo_of_another_kind,
        replaced(logos, "FORMATS", None),
    ),
    Attack(
        "CSV cells that begin like a formula", formula_in_an_export, replaced(csv_cells, "escape_formula", as_it_is)
    ),
    Attack("formulas in a manifest", formula_in_a_manifest, replaced(manifest, "escape_formula", as_it_is)),
]
