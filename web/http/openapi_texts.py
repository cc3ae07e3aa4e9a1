"""Texts and fixed parts of the OpenAPI document."""

from pathlib import Path
from typing import Any

from flask_openapi.models import SecurityScheme

from shared.version import __version__

INFO = {
    "title": "Waymark",
    "version": __version__,
    "summary": "A self-hosted platform for QR codes: create and print them, verify scans, and follow them live.",
    "description": (Path(__file__).parent / "openapi_introduction.md").read_text(),
    "license": {"name": "MIT", "identifier": "MIT"},
}
TAGS = {
    "Accounts": "Guests, accounts, log-in, tokens, and the data stored about a player.",
    "Browser sessions": "Sessions of Waymark's own pages, by a cookie. Other clients use the routes of Accounts.",
    "Organizations": "Organizations, their members, API keys and audit log.",
    "QR codes": "The codes of an organization: create, list, change, import and export.",
    "Images": "Images of codes as PNG, SVG or PDF, and their appearance.",
    "Screens": "Rotating codes: the current image, and links that show it on screens without a login.",
    "Pages": "Pages and redirects for phones that open a printed code.",
    "Renders": "Bulk jobs: images of many codes as one ZIP or as label sheets.",
    "Scans": "Submit scans and read verdicts, history and inventory; solve puzzles.",
    "Reviews of scans": "Staff's decisions about held and successful scans.",
    "Redemptions": "Hand out the items that players earned, once, and limit what can be redeemed.",
    "Generated codes": "Codes of any text, without an organization.",
    "Analytics": "Statistics and timelines of scans and visits.",
    "Quests": "Series of actions that earn rewards.",
    "Live events": "WebSockets with events as they are committed.",
    "Operations": "Health checks and metrics for the platform.",
}
SECURITY_SCHEMES: dict[str, SecurityScheme | dict[str, Any]] = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A player's access token, from POST /auth/login",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "__Host-waymark",
        "description": "The session of a browser, from POST /session. Its name is `waymark` without TLS",
    },
    "key": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "wm_<prefix>_<secret>",
        "description": "An organization's API key, for operations that name a scope which the key has",
    },
}
OPERATION_IDS = {
    "accounts.refresh": "refresh_session",
    "accounts.register": "register_player",
    "accounts.upgrade": "upgrade_guest",
    "analytics.code_stats": "get_code_stats",
    "analytics.organization_stats": "get_organization_stats",
    "audit.list_entries": "list_audit_entries",
    "browser_sessions.accept_transfer": "start_session_by_transfer",
    "browser_sessions.create_guest": "create_browser_guest",
    "browser_sessions.create_transfer": "create_session_transfer",
    "browser_sessions.get_session": "get_browser_session",
    "browser_sessions.preview_transfer": "get_session_transfer",
    "browser_sessions.register": "register_in_browser",
    "browser_sessions.sign_in": "start_browser_session",
    "browser_sessions.sign_out": "revoke_browser_session",
    "browser_sessions.upgrade": "upgrade_browser_guest",
    "compatibility.generate_code": "generate_code_in_older_form",
    "compatibility.get_health": "check_liveness_in_older_form",
    "compatibility.retrieve_code": "retrieve_code_in_older_form",
    "customizations.delete_customization": "reset_customization",
    "customizations.put_customization": "set_customization",
    "customizations.put_logo": "upload_logo",
    "encounters.solve": "solve_encounter",
    "health.healthz": "check_liveness",
    "health.readyz": "check_readiness",
    "metrics.metrics": "get_metrics",
    "organizations.close_organization": "delete_organization",
    "placements.place_code": "set_code_place",
    "profile.export_data": "export_account",
    "quests.list_events": "list_quest_events",
    "timelines.code_timeline": "get_code_timeline",
    "timelines.code_timeline_csv": "download_code_timeline",
    "timelines.organization_timeline": "get_organization_timeline",
    "timelines.organization_timeline_csv": "download_organization_timeline",
    "websockets.create_ticket": "create_websocket_ticket",
}
"""By endpoint, where the name of the view is not unique or not clear as the name of a client's method."""
PROBLEM = {
    "type": "object",
    "description": "An error (RFC 9457)",
    "required": ["type", "title", "status", "detail", "instance", "request_id"],
    "properties": {
        "type": {"type": "string", "description": "Always `about:blank`: the status says what kind of error it is"},
        "title": {"type": "string", "description": "The phrase of the status"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599, "description": "The status of the response"},
        "detail": {"type": "string", "description": "What is wrong, and what is allowed"},
        "instance": {"type": "string", "description": "The path of the request"},
        "request_id": {"type": ["string", "null"]},
        "errors": {
            "type": "array",
            "description": "With status 422: one entry per wrong field",
            "items": {
                "type": "object",
                "required": ["loc", "message"],
                "properties": {
                    "loc": {"type": "string", "description": "The wrong field, such as `body.latitude`"},
                    "message": {"type": "string", "description": "What to use instead, in a sentence"},
                },
            },
        },
        "rows": {"type": "array", "items": {"type": "object"}, "description": "Of an import: the result of each row"},
        "reason": {
            "type": "string",
            "enum": ["missing", "malformed", "invalid", "expired", "revoked"],
            "description": "With status 401: why the bearer token is rejected. Absent for a wrong password.",
        },
        "redemption": {
            "type": "object",
            "description": "With status 409, if a token was used before: the redemption that used it, as in the list",
        },
        "quota": {
            "type": "object",
            "description": "With status 409, if a quota is used up: its setting, what is used, and the limit",
            "required": ["name", "used", "limit"],
            "properties": {
                "name": {"type": "string", "description": "Name of the setting"},
                "used": {"type": "integer", "description": "What is in use now"},
                "limit": {"type": "integer", "description": "The greatest number that is allowed"},
            },
        },
    },
}
STATUS_DESCRIPTIONS = {
    "400": "Malformed HTTP, or not a WebSocket handshake",
    "401": "Missing or invalid credentials. `reason` and the header WWW-Authenticate say why.",
    "403": "Authenticated, but not allowed",
    "404": "Not found, or not visible to the caller",
    "406": "Not available in a format that Accept allows",
    "409": "Conflict with what is stored",
    "410": "Expired or deleted",
    "413": "The body is too large",
    "415": "The body has a wrong content type",
    "416": "The file has no such range. Content-Range has its size.",
    "422": "Malformed. `errors` names each wrong field.",
    "429": "A rate limit or a limit of open sockets is reached. Retry after the seconds in Retry-After.",
    "503": "A store is unavailable, or this process is full. Retry after the seconds in Retry-After.",
}
DETAILS = {
    "400": "This is not a WebSocket handshake of version 13.",
    "401": "The bearer token has expired. Use a refresh token, log in again, or create another API key.",
    "403": "You are not allowed to do this.",
    "404": "Not found, or not visible to you.",
    "406": "Available as application/json, image/png and image/svg+xml.",
    "409": "This conflicts with what is stored.",
    "410": "This has expired.",
    "413": "The body is larger than 1,048,576 bytes, the limit of this route.",
    "415": "The body must be application/json.",
    "416": "The file has 2,048 bytes, and none in the requested range.",
    "422": "body.latitude: Use a number of at most 90.",
    "429": "The limit RATE_LIMIT_SCAN (120 per minute) is used up. Retry after the seconds in Retry-After.",
    "503": "A store is unavailable. Retry shortly.",
}
RATE_LIMIT_HEADERS = {
    "RateLimit-Limit": "Requests allowed per window, of the limit with the smallest remaining share",
    "RateLimit-Remaining": "Requests left in this window",
    "RateLimit-Reset": "Seconds until the window ends",
}
RETRY_AFTER = {"description": "Seconds", "schema": {"type": "integer"}, "example": 2}
KEY_DESCRIPTION = (
    "Makes a retry harmless: the same key with the same body returns the stored response, for 24 hours. "
    "409 while the first request runs, 422 with another body."
)
PREFER = {
    "name": "Prefer",
    "in": "header",
    "schema": {"type": "string"},
    "description": "`wait=N` waits up to N seconds, at most 10, for the verdict (RFC 7240). Others are ignored",
    "example": "wait=5",
}
WAITING_OPERATIONS = ("submit_scan", "get_scan")
LOCATION = {
    "description": "Path of the new object, or of its progress",
    "required": True,
    "schema": {"type": "string"},
    "example": "/scan/0197a6b0-3c1e-7d52-9a4f-2b8c6d1e0f35",
}
POLLING = {
    "description": "Seconds until the first poll",
    "required": True,
    "schema": {"type": "integer"},
    "example": 1,
}
VERDICT_HEADERS = {
    "Content-Location": {"description": "Path of the scan", "required": True, "schema": {"type": "string"}},
    "Preference-Applied": {"description": "`wait`, if the request has `Prefer: wait=N`", "schema": {"type": "string"}},
}
NEXT_PAGE = {
    "description": 'With YAML: the path of the next page, with `rel="next"`. Absent at the end',
    "schema": {"type": "string"},
    "example": '</api/organizations/0197a6b0-3c1e-7d52-9a4f-2b8c6d1e0f35/quests?cursor=WyJ4Il0>; rel="next"',
}
RESPONSE_HEADERS = {
    ("submit_scan", "200"): VERDICT_HEADERS,
    ("get_scan", "200"): VERDICT_HEADERS,
    ("submit_scan", "202"): {"Location": LOCATION, "Retry-After": POLLING},
    ("create_blank_codes", "202"): {"Location": LOCATION, "Retry-After": POLLING},
    ("create_blank_codes", "201"): {"Location": LOCATION},
    ("create_render", "202"): {"Location": LOCATION, "Retry-After": POLLING},
    ("import_codes_csv", "202"): {"Location": LOCATION, "Retry-After": POLLING},
    ("import_codes_csv", "201"): {"Location": LOCATION},
    ("import_codes_json", "201"): {"Location": LOCATION},
    ("create_code", "201"): {"Location": LOCATION},
    ("create_organization", "201"): {"Location": LOCATION},
    ("create_organization_quest", "201"): {"Location": LOCATION},
    ("list_organization_quests", "200"): {"Link": NEXT_PAGE},
    ("create_generated_code", "201"): {"Location": LOCATION},
}
"""Headers of successful responses, by operation and status."""
WEBSOCKETS = {
    "/ws/{player_id}": ("Follow a player's live events", "For the player only."),
    "/ws/organizations/{org_id}": ("Follow an organization's live events", "Needs the role analyst."),
}
SOCKET_DESCRIPTION = (
    " A WebSocket that sends one JSON object per message, in the order of commits. Pass the `id` of the last message "
    "as `since` to resume without a gap. Events are stored for 30 days. The server sends a ping every 25 seconds. "
    "Browsers authenticate with a `ticket` from POST /ws/ticket, other clients with an Authorization header. "
    "Refused before the upgrade with 401, 403 or 404, with 429 above the limit of the "
    "player (8 by default) or the address (500), and with 503 above the limit of the process."
)
KEY_EXAMPLE = "order-1042"
RANDOM_UUID_EXAMPLE = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
UUID_EXAMPLE = "0197a6b0-3c1e-7d52-9a4f-2b8c6d1e0f35"
