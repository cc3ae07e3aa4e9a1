"""What all pages of an organization share: the navigation, the switcher, and warnings about printed addresses."""

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Literal
from urllib.parse import urlsplit

from flask import Response, request

from shared.infra import db
from shared.organizations import store
from shared.organizations.rules import Role, includes_role
from shared.reviews import scan_counts
from web.http.auth import current_organization, current_player_id
from web.http.settings import current_settings
from web.pages.layout import render_page

MAX_HELD = 999
"""Held scans that the navigation counts, as does `pages/reviews.js`."""
MAX_SWITCHER = 50
"""Organizations in the switcher. More are on the page of all organizations."""


@dataclass(frozen=True)
class Entry:
    """An entry of the navigation. Its words are in `layout/staff.html`."""

    name: str
    path: str
    """Below `/o/{slug}`."""
    role: Role
    icon: str


NAVIGATION: tuple[tuple[Entry, ...], ...] = (
    (
        Entry("overview", "", "analyst", "house"),
        Entry("live", "/live", "analyst", "radio"),
        Entry("analytics", "/analytics", "analyst", "chart-column"),
        Entry("scans", "/scans", "analyst", "scan-qr-code"),
        Entry("progress", "/progress", "analyst", "list-checks"),
        Entry("reviews", "/reviews", "admin", "shield-alert"),
    ),
    (
        Entry("codes", "/codes", "member", "qr-code"),
        Entry("map", "/map", "member", "map"),
        Entry("quests", "/quests", "admin", "trophy"),
        Entry("renders", "/renders", "admin", "printer"),
        Entry("screens", "/screens", "admin", "monitor"),
        Entry("simulator", "/simulator", "admin", "play"),
    ),
    (
        Entry("counter", "/counter", "admin", "ticket"),
        Entry("redemptions", "/redemptions", "admin", "gift"),
    ),
    (
        Entry("members", "/members", "member", "users"),
        Entry("api_keys", "/api-keys", "admin", "key-round"),
        Entry("audit_log", "/audit-log", "admin", "history"),
        Entry("settings", "/settings", "owner", "settings"),
    ),
)
"""Groups of entries, in the order in which they are shown."""


def sees(role: Role) -> bool:
    """Return whether the caller has at least this role in the organization of the path."""
    return includes_role(current_organization().role, role)


def render_staff_page(template: str, *, active: str, **values: Any) -> Response:
    """Return a page of the organization in the path. `active` is the name of its entry in the navigation.

    With `?fragment` in the query, only the content is rendered: `staff/fragment.js` replaces a part of the page by it.
    """
    organization = current_organization()
    role = organization.role
    values |= {"organization": organization, "active": active, "can": sees}
    values["base"] = f"/o/{organization.slug}"
    values |= {"address_problem": printed_address_problem(), "address": current_settings().public_base_url}
    values["modules"] = ("pages/staff.js", *values.get("modules", ()))
    if "fragment" in request.args:
        return render_page(template, staff_layout="layout/fragment.html", **values)
    with db.connection() as conn:
        others = store.list_for_player(conn, current_player_id(), limit=MAX_SWITCHER)
        held = 0
        if includes_role(role, "admin"):
            held = scan_counts.count_held(conn, organization.id, limit=MAX_HELD + 1)
    navigation = [[entry for entry in group if includes_role(role, entry.role)] for group in NAVIGATION]
    return render_page(
        template,
        staff_layout="layout/staff.html",
        navigation=[group for group in navigation if group],
        organizations=others,
        held=f"{MAX_HELD}+" if held > MAX_HELD else held,
        **values,
    )


def printed_address_problem() -> Literal["unreachable", "insecure"] | None:
    """Return why phones cannot use printed codes: PUBLIC_URL is not set or a loopback, or public without https."""
    address = urlsplit(current_settings().public_base_url)
    host = address.hostname or ""
    try:
        ip = ip_address(host)
    except ValueError:
        if host == "localhost" or host.endswith(".localhost"):
            return "unreachable"
        return "insecure" if address.scheme == "http" else None
    if ip.is_loopback or ip.is_unspecified:
        return "unreachable"
    return "insecure" if address.scheme == "http" and ip.is_global else None
