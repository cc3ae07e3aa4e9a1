"""The audit log of an organization: each change as a sentence."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from flask import Flask, Response, request

from shared.audit.store import AuditEntry
from shared.codes import store as codes
from shared.infra import db
from shared.infra.db import Conn
from shared.organizations import api_keys, members
from shared.reviews import known_players
from web.api.audit import AuditQuery, list_page
from web.http.auth import current_organization, page_requires_role
from web.http.request_context import takes_any_query
from web.pages.staff import render_staff_page

PAGE = 50
MAX_ACTORS = 200
FILTERS = ("action", "actor", "object_id")
ACTIONS = (
    "code.created", "code.changed", "code.placed", "code.deleted", "codes.imported", "codes.changed", "codes.deleted",
    "customization.changed", "customization.removed", "import.started", "render.started", "render.canceled",
    "screen.created", "screen.revoked", "scan.released", "scan.annulled", "scan.resettled", "redemption.created",
    "redemption.undone",    "item.changed", "quest.created", "quest.changed", "quest.deleted", "label_template.created",
    "label_template.changed", "label_template.deleted", "member.added", "member.changed", "member.removed",
    "invitation.created", "invitation.revoked", "invitation.declined", "key.created", "key.revoked",
    "organization.created", "organization.changed", "organization.closed", "organization.restored", "logo.set",
    "logo.removed", "alias.deleted", "analytics.rebuilt",
)  # fmt: skip
"""The actions that an organization's log contains, in the order of the filter."""


@dataclass(frozen=True)
class Line:
    """An entry with the name of its object, and each field that changed: its name, old and new value."""

    entry: AuditEntry
    name: str | None
    changes: list[tuple[str, Any, Any]]


def init_app(app: Flask) -> None:
    """Register the page."""
    app.add_url_rule("/o/<slug>/audit-log", "staff.open_audit_log", open_audit_log)


@page_requires_role("admin")
@takes_any_query
def open_audit_log() -> Response:
    """Show the log, newest first, with filters in the URL."""
    organization = current_organization()
    chosen = {name: value for name in FILTERS if (value := request.args.get(name))}
    query = AuditQuery.model_validate({**chosen, "limit": PAGE, "cursor": request.args.get("cursor")})
    entries, cursor = list_page(organization.id, query)
    with db.connection() as conn:
        lines = describe(conn, organization.id, entries)
        people = members.list_members(conn, organization.id, limit=MAX_ACTORS)
        keys = api_keys.list_for_organization(conn, organization.id, limit=MAX_ACTORS)
    return render_staff_page(
        "organizations/audit_log.html",
        active="audit_log",
        modules=("pages/audit-log.js",),
        lines=lines,
        next_path=cursor and "?" + urlencode(chosen | {"cursor": cursor}),
        chosen=chosen,
        actions=ACTIONS,
        actors=[(member.player_id, member.username) for member in people] + [(key.id, key.name) for key in keys],
    )


def describe(conn: Conn, org_id: UUID, entries: Sequence[AuditEntry]) -> list[Line]:
    """Return the entries with the current names of their codes and players, in two further queries."""
    ids = {kind: _ids_of(entries, kind) for kind in ("code", "customization", "member")}
    texts = {str(code.id): code.code for code in codes.list_by_ids(conn, org_id, [*ids["code"], *ids["customization"]])}
    players = known_players.list_names(conn, org_id, ids["member"]) if ids["member"] else []
    names = texts | {str(player.player_id): player.username for player in players}
    return [Line(entry, names.get(str(entry.object_id)) or _stored_name(entry), _changes(entry)) for entry in entries]


def _ids_of(entries: Sequence[AuditEntry], kind: str) -> set[UUID]:
    """Return the ids of the objects of this kind that the entries name."""
    return {UUID(entry.object_id) for entry in entries if entry.object_id and entry.action.split(".")[0] == kind}


def _stored_name(entry: AuditEntry) -> str | None:
    """Return the name of an object that the entry itself holds."""
    values = (entry.old or {}) | (entry.new or {})
    if entry.action.startswith("quest."):
        return entry.object_id
    name = next(
        (values[field] for field in ("code", "name", "slug", "item") if isinstance(values.get(field), str)), None
    )
    return name or (str(values["item"]) if "item" in values else None)


def _changes(entry: AuditEntry) -> list[tuple[str, Any, Any]]:
    """Return the fields that a change has on both sides, or on one of them only if it sets a value."""
    if not entry.action.endswith((".changed", ".placed")):
        return []
    old, new = entry.old or {}, entry.new or {}
    return [(field, old.get(field), new.get(field)) for field in {**old, **new} if old.get(field) != new.get(field)]
