"""The headers of pages: one pure function per kind. The defaults of `web/http` stay for everything else."""

from typing import Literal

PageKind = Literal["page", "preview", "map"]
"""`preview` also shows images that scripts made, `map` these and tiles of another server."""
NO_DEVICES = "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()"
CAMERA_AND_LOCATION = "camera=(self), display-capture=(), geolocation=(self), microphone=(), payment=(), usb=()"
LOCATION = "camera=(), display-capture=(), geolocation=(self), microphone=(), payment=(), usb=()"
WORKERS = {
    "js/decoder.js": "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'",
    "sw.js": "default-src 'none'; script-src 'self'; connect-src 'self'",
}
"""A worker follows the policy of its own file, so that no page needs to allow WebAssembly."""


def content_security_policy(kind: PageKind, hosts: tuple[str, ...], *, is_secure: bool, tiles: str = "") -> str:
    """Return the policy of a page. `hosts` are the names, with port, under which sockets are reached.

    `tiles` is the origin of the map's tiles, empty without any.
    """
    images = {"page": "", "preview": " blob:", "map": f" blob: {tiles}".rstrip()}[kind]
    sockets = " ".join(f"{'wss' if is_secure else 'ws'}://{host}" for host in dict.fromkeys(hosts))
    policies = "waymark default" if kind == "map" else "waymark"
    return (
        f"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'{images}; font-src 'self'; "
        f"connect-src 'self' {sockets}; manifest-src 'self'; worker-src 'self'; form-action 'self'; "
        f"base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types {policies}"
    )


def permissions_policy(devices: Literal["none", "location", "all"]) -> str:
    """Return which devices a page may ask for."""
    return {"none": NO_DEVICES, "location": LOCATION, "all": CAMERA_AND_LOCATION}[devices]


def of_asset(name: str) -> dict[str, str]:
    """Return the headers of a static file below its digest. Its content never changes."""
    headers = {"Cache-Control": "public, max-age=31536000, immutable"}
    return headers | ({"Content-Security-Policy": WORKERS[name]} if name in WORKERS else {})
