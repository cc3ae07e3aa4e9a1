"""Descriptions and limits of fields that mean the same in several schemas. A field's own have precedence."""

from collections.abc import Iterator
from typing import Any

MAX_INTEGER = 2**53 - 1
"""The largest whole number that every JSON parser reads exactly (RFC 8259, section 6)."""
BY_NAME = {
    "access_token": "Sent as `Authorization: Bearer <token>`. Valid for `expires_in` seconds",
    "accuracy": "Radius in meters that contains the player with 68 % confidence",
    "action": "The kind of change, such as `code.changed`",
    "active": "False: scans fail with the reason `inactive`",
    "actor": "The player, API key or operator that made the change",
    "address": "Address of the client; null at the command line",
    "after_seconds": "Seconds between the scan and its arrival above which it is held",
    "alias": "A former text of the code",
    "all": "Select all codes of the organization",
    "annulled": "Scans that staff annulled",
    "answer": "The player's answer. Case and surrounding blanks do not count",
    "answer_within_hours": "Hours after a scan in which the puzzle that it opened can be answered",
    "api_keys": "True if scans that API keys submitted are compared with each other",
    "as_of": "Everything before this time is counted",
    "at": "When it happened",
    "attempts_left": "Wrong answers that are still accepted; null: no limit",
    "auto_claim": "True if each completion pays its reward without a claim",
    "background_color": "Color behind the modules, as #RRGGBB",
    "bots": "Requests of crawlers, link previews and prefetches",
    "burst": "Hold a scan after too many others in a short time; null: off",
    "bytes": "Size of the file in bytes; null until it exists",
    "claimable": "Completions whose reward can be claimed now",
    "claims": "Rewards that were claimed",
    "code": "Text of the code: 3 to 64 letters, digits, - or _",
    "completions": "How often the caller has completed it",
    "cooldown_seconds": "Seconds that a player waits after a success; null: none",
    "created_at": "When it was created",
    "current_password": "The password until now",
    "counter": "The service counter: a member or an API key",
    "data": "The entries",
    "date": "The day in `tz`",
    "description": "Text for people: where the code is, or what the quest is about",
    "desktop": "Requests of desktop computers",
    "destination": "The code to go to, of a `transportation`",
    "destination_code": "Text of the code that a `transportation` leads to",
    "device": "Kind of device, from the User-Agent header",
    "devices": "Counts by kind of device",
    "difficulty_level": "1 (easy) to 10 (hard)",
    "distance_m": "Meters between the player and the code; null without both positions",
    "download_url": "Signed path of the file, valid for one hour without a token; null until the file exists",
    "email": "Email address; null: none. Only its player sees it",
    "encounter": "The puzzle of an `encounter`; null: none",
    "encounter_id": "Id of the puzzle",
    "encounter_type": "The `scan_type` of the code",
    "error_correction": "Level of error correction: L 7 %, M 15 %, Q 25 %, H 30 %",
    "expires_at": "When it ends; null: never",
    "expires_in": "Seconds until it expires",
    "failed": "Parts that failed",
    "failure": "Failed scans",
    "fair_play": "Rules that hold scans for review; null: none",
    "finished_at": "When it ended; null while it is pending",
    "foreground_color": "Color of the modules, as #RRGGBB",
    "format": "Format of the image",
    "has_logo": "True if the image has a logo",
    "held": "Scans that wait for a review",
    "held_for": "The check that held the scan, also after a review; null: none",
    "hits": "Lookups that were answered from the cache",
    "id": "Id, which never changes",
    "identical_coordinates": "Hold scans of several players with exactly the same position; null: off",
    "image_url": "Path of the image",
    "import_id": "Id of the import",
    "inputs": "What the check looked at: meters, seconds, counts",
    "invitation_id": "Id of the invitation",
    "item": "Name of the item",
    "items": "The page",
    "key_id": "Id of the API key",
    "kind": "Kind of actor",
    "label": "Options of a label sheet; null for a ZIP",
    "late": "Hold scans that arrive late; null: off",
    "latitude": "WGS 84 degrees, north is positive",
    "limit": "The greatest number that is allowed",
    "loc": "The wrong field, such as `body.latitude`",
    "logo": "A PNG or a JPEG of at most 1 MiB",
    "logo_size_percent": "Width of the logo relative to the symbol",
    "longitude": "WGS 84 degrees, east is positive",
    "max_attempts": "Wrong answers that each scan allows; null: no limit",
    "max_scans": "Successful scans by all players; null: no limit",
    "message": "The explanation for people; null: none",
    "misses": "Lookups that were not in the cache",
    "name": "Name for people",
    "next_cursor": "Pass it as `cursor` to get the next page; null: this is the last one",
    "object_id": "Id of the changed object",
    "offline_hours": "Hours by which a scan may arrive late; 0: live only; null: as the installation allows",
    "org_id": "Id of the organization",
    "other": "Requests of other devices",
    "outcome": "Whether the check passed, failed, held the scan, or was not tried",
    "output": "One ZIP of images, or label sheets as one PDF",
    "partial": "True if valid rows are added although others are invalid",
    "password": "8 to 256 characters, and not a common password",
    "pending": "Scans without a verdict",
    "per_code": "Other scans of the code in the window; null: not checked",
    "per_player": "Other scans of the player in the window; null: not checked",
    "per_player_limit": "Successful scans by one player; null: no limit",
    "period": "Number of days, or a year, until today",
    "phone": "Requests of phones",
    "player_id": "Id of the player",
    "players": "Number of players with the same position that holds a scan",
    "prefix": "Start of the key, by which people recognize it",
    "progress": "From 0.0 (pending) to 1.0 (done)",
    "puzzle_type": "Kind of puzzle",
    "qr_code": "Text of the scanned code",
    "qr_id": "Id of the code",
    "qr_ids": "Ids of the codes, in the order of the file",
    "qty": "Number of items",
    "quantity": "Number of items",
    "quest": "Name of the quest",
    "radius_m": "Meters from the code within which scans succeed",
    "reason": "Why the scan failed or is held; null: neither",
    "received_at": "When the service received the scan",
    "refresh_token": "Exchanged once for a new pair of tokens with POST /auth/refresh",
    "redemption_id": "Id of the redemption",
    "render_id": "Id of the render",
    "request_id": "Id of the request, as in `X-Request-ID`; null: none",
    "requires_location": "True if scans need a position near the code",
    "result_url": "Path of the verdict",
    "reviewed_at": "When staff released or annulled it; null: not reviewed",
    "reward": "The item that a success gives; null: none",
    "role": "The member's role: member, analyst, admin or owner",
    "rotating": "True: only screens show the code, and its image changes",
    "rotation_seconds": "Seconds for which a rotating code shows one image",
    "rule": "Name of the check: the reason that it gives",
    "rules": "The checks in their order",
    "scan_id": "Id of the scan",
    "session_id": "Id of the session",
    "scan_time": "When the player scanned",
    "scan_type": "What a success gives: an item, a puzzle or a destination; null: the code only redirects",
    "scanned_at": "When the player scanned, by the client's clock",
    "scans": "The scans",
    "scopes": "What the key may do",
    "settled_at": "When the verdict was reached; null: pending",
    "size": "Width and height in pixels",
    "slug": "Name in the path of the organization's page: lowercase letters, digits and single hyphens",
    "solution": "The right answer; null: none yet",
    "solved": "True if the answer is right, or was right before",
    "starts_at": "When the code opens; null: now",
    "status": "State of the scan, or of the code's image",
    "status_url": "Path at which the progress can be read",
    "streak": "Number of actions that complete the quest",
    "style": "Shape of the modules",
    "success": "Successful scans",
    "tablet": "Requests of tablets",
    "tag": "A tag of the codes",
    "tags": "Words that group codes, at most 50",
    "target_url": "Where the printed code leads a phone without the game; null: to its page",
    "timezone": "IANA time zone, in which daily quests count",
    "token": "Secret part of the invitation's link",
    "token_type": "Always Bearer",
    "total": "How many there are in all",
    "type": "Kind of event",
    "tz": "IANA time zone of days and hours",
    "updated_at": "When it was changed last",
    "url": "Website of the organization, to which its own code leads; null: none",
    "used": "What is in use now",
    "username": "3 to 32 letters, digits, _, . or -, unique regardless of case",
    "visits": "Requests to /s/{code}",
    "window_seconds": "Length of the window in seconds",
}
BY_SCHEMA = {
    ("ActorResponse", "id"): "Id of the player or key; null: an operator",
    ("ActorResponse", "name"): "Current name; null: erased",
    ("AuditEntryResponse", "new"): "The changed fields after the change; null: deleted",
    ("AuditEntryResponse", "old"): "The changed fields before the change; null: created",
    ("CachesResponse", "images"): "The cache of images",
    ("CachesResponse", "statistics"): "The cache of statistics",
    ("ClaimedResponse", "message"): "Confirmation for people",
    ("ClaimedResponse", "reward"): "The reward that was paid",
    ("CodeEncounterResponse", "data"): "The puzzle as the player sees it",
    ("CodeStatsResponse", "scans"): "Scans by status",
    ("DownloadQuery", "signature"): "Signature of the link",
    ("EncounterBody", "solution"): "The right answer; null: the puzzle cannot be solved yet",
    ("EncounterResponse", "data"): "The puzzle as the player sees it",
    ("EventResponse", "data"): "The action, progress and terms that decided it",
    ("EventResponse", "scan_id"): "The scan that advanced the quest; null: another action",
    ("FailedCodeResponse", "message"): "Why the code has no image",
    ("GeneratedResponse", "status"): "`pending` until a worker has rendered the image",
    ("HealthResponse", "status"): "`ok`, or what is unavailable",
    ("HistoryEntryResponse", "success"): "True for a success, false for a failure, null without a verdict",
    ("ImportResponse", "id"): "Id of the import",
    ("ImportResponse", "status"): "`failed`: no code was added",
    ("ImportResponse", "total"): "Rows in the file or list",
    ("ImportRowResponse", "code"): "Text of the code; null if the row is invalid",
    ("ImportRowResponse", "message"): "Why the row is invalid; null: it is valid",
    ("ImportRowResponse", "qr_id"): "Id of the added code; null: not added",
    ("ImportRowResponse", "status"): "`not_added`: the row is valid, but another one is not",
    ("InventoryItemResponse", "quantity"): "Balance: the sum of the ledger entries",
    ("QuestResponse", "description"): "What players do to complete it",
    ("QuestResponse", "name"): "Name, by which a reward is claimed",
    ("QuestResponse", "progress"): "Steps since the last completion",
    ("QuestResponse", "status"): "The caller's state",
    ("RenderResponse", "done"): "Codes that are rendered",
    ("RenderResponse", "errors"): "The first 500 codes that failed",
    ("RenderResponse", "expires_at"): "When the file is deleted; null: no file",
    ("RenderResponse", "failed"): "Codes that cannot be rendered",
    ("RenderResponse", "reason"): "Why the whole render failed; null: it did not",
    ("RenderResponse", "total"): "Codes that are selected",
    ("ReviewsResponse", "items"): "The scans of this page",
    ("LoginBody", "password"): "The password of the account",
    ("LoginBody", "username"): "Username of the account, in any case",
    ("ScanBody", "player_id"): "The player who scans: the caller, unless the caller is an API key",
    ("ScanResponse", "status"): "`held`: a success whose reward waits for a review",
    ("StatsResponse", "codes"): "Codes of the organization now",
    ("StatsResponse", "scans"): "Scans by status",
    ("TimelineResponse", "data"): "One entry for each day",
    ("TrackedResponse", "message"): "Confirmation for people",
    ("TrackedResponse", "status"): "State of the quest after the action",
    ("VisitsResponse", "total"): "Requests of people",
}
BOUNDS = {
    "difficulty_level": (1, 10),
    "logo_size_percent": (10, 30),
    "quantity": (1, MAX_INTEGER),
    "size": (100, 2_000),
}
"""Limits of whole numbers. Others count something: they are at least 0."""


def add_descriptions(spec: dict[str, Any]) -> None:
    """Add a description to each property and parameter, and limits to each whole number, that has none."""
    for name, schema in spec["components"]["schemas"].items():
        _complete(schema, name, name)
    for header in spec["components"]["headers"].values():
        _complete(header["schema"], "", "")
    for part in _parts(spec):
        for parameter in part.get("parameters", ()):
            if not parameter.get("description"):
                parameter["description"] = _describe("", parameter["name"])
            _complete(parameter.get("schema", {}), "", parameter["name"])
        for media in part.get("content", {}).values():
            _complete(media.get("schema", {}), "", "")
        for name, header in part.get("headers", {}).items():
            _complete(header.get("schema", {}), "", name)


def _parts(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield each operation, and each of its requests and responses."""
    for path in spec["paths"].values():
        for operation in path.values():
            yield operation
            yield operation.get("requestBody", {})
            yield from operation["responses"].values()


def _describe(schema: str, name: str) -> str:
    return BY_SCHEMA.get((schema, name)) or BY_NAME.get(name, "")


def _complete(schema: Any, model: str, name: str) -> None:
    """Complete a schema and those in it: `name` is the property that has it, `model` the component."""
    if isinstance(schema, list):
        for member in schema:
            _complete(member, model, name)
    if not isinstance(schema, dict):
        return
    if schema.get("type") == "integer" and "enum" not in schema and "const" not in schema:
        minimum, maximum = BOUNDS.get(name, (0, MAX_INTEGER))
        schema.setdefault("minimum", minimum)
        schema.setdefault("maximum", maximum)
    for property_name, member in schema.get("properties", {}).items():
        if not member.get("description") and (description := _describe(model, property_name)):
            member["description"] = description
        _complete(member, model, property_name)
    for keyword in ("anyOf", "oneOf", "allOf", "items", "additionalProperties"):
        _complete(schema.get(keyword), model, name)
