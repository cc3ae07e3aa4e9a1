"""Rate limits per player, API key, address and username, and the RateLimit-* headers of every response.

Flask-Limiter checks them before authentication, so a rejected request costs neither PostgreSQL nor argon2. The key of
a request comes from credentials that can be verified without a store. An access token that Waymark signed counts for
its player. Unverified credentials count for the address. See docs/decisions/0026.
"""

import logging
import time
import unicodedata
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import IPv6Address, ip_network
from math import ceil
from typing import Literal
from uuid import UUID

from flask import Flask, Response, current_app, g, request
from flask_limiter import ApplicationLimit, Limiter, RequestLimit
from limits import parse
from werkzeug.exceptions import RequestEntityTooLarge

from shared.errors import Invalid, Unauthenticated
from shared.infra.metrics import Counter
from web.http.auth import optional_caller, requirement_of
from web.http.credentials import (
    bearer_token,
    player_of_expired_token,
    presented_api_key,
    rate_limit_key_of_credentials,
    session_cookie,
)
from web.http.password_grant import is_form
from web.http.proxy_headers import parse_address
from web.http.rate_limit_storage import SCHEME
from web.http.settings import current_settings

LimitName = Literal[
    "default",
    "anonymous",
    "websocket_ticket",
    "api_key",
    "page",
    "login",
    "login_per_username_and_address",
    "login_per_username",
    "guest",
    "register",
    "refresh",
    "scan",
    "generate",
    "render",
    "image",
    "invitation",
]
"""Each has a setting: RATE_LIMIT_ and the name in capitals."""

LIMIT_BY_ENDPOINT: dict[str, LimitName] = {
    "accounts.create_guest": "guest",
    "accounts.log_in": "login",
    "accounts.refresh": "refresh",
    "accounts.register": "register",
    "accounts.upgrade": "register",
    "blank_codes.create_blank_codes": "render",
    "codes.delete_many_codes": "render",
    "codes.update_many_codes": "render",
    "compatibility.generate_code": "generate",
    "compatibility.retrieve_code": "image",
    "brand_files.get_brand_style_sheet": "page",
    "brand_files.get_organization_logo": "page",
    "design_previews.render_design_preview": "image",
    "organization_designs.render_organization_design_preview": "image",
    "generated_codes.create_generated_code": "generate",
    "generated_codes.get_generated_image": "image",
    "images.get_business_image": "image",
    "images.get_code_image": "image",
    "imports.import_codes_csv": "render",
    "imports.import_codes_json": "render",
    "invitations.create_invitation": "invitation",
    "members.invite_member": "invitation",
    "profile.change_password": "login",
    "organization_pages.open_organization": "page",
    "profile.delete_account": "login",
    "renders.create_render": "render",
    "scan_batches.submit_batch": "scan",
    "screen_pages.open_screen": "page",
    "screens.get_rotating_image": "image",
    "screens.get_screen_image": "image",
    "screens.get_screen_state": "page",
    "scans.submit_scan": "scan",
    "browser_sessions.accept_transfer": "login",
    "browser_sessions.create_guest": "guest",
    "browser_sessions.create_transfer": "login",
    "browser_sessions.preview_transfer": "login",
    "browser_sessions.register": "register",
    "browser_sessions.sign_in": "login",
    "browser_sessions.upgrade": "register",
    "visits.open_code": "page",
}
"""The limit of these routes. All others have `default`."""
BATCH_ENDPOINTS = {"scan_batches.submit_batch": "scans"}
"""Routes that count the entries of a list in their body, by the name of the list."""
ENTRIES_PER_REQUEST = 5
"""A batch of this many entries counts like one request. It costs less: a retry after a lost response fits the limit."""
PER_USERNAME_ENDPOINTS = {"accounts.log_in", "browser_sessions.sign_in"}
"""Routes that also count the `username` in their body: at one address, and at all together."""
API_KEY_LIMITS = {"default", "scan"}
"""Limits that `api_key` replaces for an API key, because it acts for many players."""
UNLIMITED_ENDPOINTS = {
    "assets.get_asset",
    "compatibility.get_health",
    "health.healthz",
    "health.readyz",
    "metrics.metrics",
    "pwa.get_manifest",
    "pwa.get_worker",
}
"""Routes that a platform polls, and static files, which are served from memory."""
MAX_REMEMBERED_KEYS = 4_096
# Providers assign a household more than one /64 (RFC 6177, 2; RIPE-690, 4.2).
IPV6_PREFIX_LENGTH = 56
HEADERS = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "Retry-After")
KNOWN_API_KEYS = "waymark_known_api_keys"

LIMITED = Counter("waymark_rate_limited_total", "Requests above a rate limit, by the name of the limit.", ("limit",))


@dataclass(frozen=True)
class RateLimitKeys:
    """A limit, and the player, API key, session or address that a request counts for."""

    limit: LimitName
    key: str
    username: str | None = None  # a digest of the attempted username
    cost: int = 1


def init_app(app: Flask, *, is_enabled: bool) -> None:
    """Check limits before each request, and report them in headers.

    Hooks that were registered earlier run for rejected requests too.
    """
    if not is_enabled:
        return
    # API keys that this process has authenticated, by a digest of their text. A key proves nothing by itself: an
    # unknown one counts as a guess.
    app.extensions[KNOWN_API_KEYS] = {}
    limiter = Limiter(
        lambda: _keys().key,
        application_limits=[
            ApplicationLimit(
                lambda: _limit(_keys().limit),
                scope=lambda _: _keys().limit,
                error_message=lambda: _message(_keys().limit),
                cost=lambda: _keys().cost,
            ),
            # In this order, and shorter units first: a guess that the first limit rejects does not count for the
            # second. So one address cannot use up a username's limit, and lock its owner out.
            ApplicationLimit(
                lambda: _limit("login_per_username_and_address") if _keys().username else "",
                key_function=lambda: f"{_keys().username} {_keys().key}",
                scope="login_per_username_and_address",
                error_message=lambda: _message("login_per_username_and_address"),
            ),
            ApplicationLimit(
                lambda: _limit("login_per_username") if _keys().username else "",
                key_function=lambda: _keys().username or "",
                scope="login_per_username",
                error_message=lambda: _message("login_per_username"),
            ),
        ],
        storage_uri=f"{SCHEME}://",
        in_memory_fallback_enabled=True,
        on_breach=_count_breach,
    )
    limiter.request_filter(lambda: request.method == "OPTIONS" or request.endpoint in UNLIMITED_ENDPOINTS)
    # The access log already has an entry for a rejected request.
    logging.getLogger("flask-limiter").setLevel(logging.WARNING)

    @app.before_request
    def set_rate_limit_keys() -> None:
        if request.endpoint is not None and request.method != "OPTIONS":
            g.rate_limit_keys = _find_keys(request.endpoint)

    limiter.init_app(app)

    @app.after_request
    def add_rate_limit_headers(response: Response) -> Response:
        """Report the limit with the smallest remaining share. The reset is in seconds, because clocks differ."""
        if (caller := optional_caller()) is not None and caller.key is not None:
            _remember_api_key(caller.key.id)
        if limits := limiter.current_limits:
            tightest = min(limits, key=lambda state: (not state.breached, state.remaining / state.limit.amount))
            reset = max(0, ceil(tightest.window.reset_time - time.time()))
            values = (tightest.limit.amount, max(0, tightest.remaining), reset, max(1, reset))
            for name, value in zip(HEADERS[: 4 if tightest.breached else 3], values, strict=False):
                response.headers[name] = str(value)
        return response


def _count_breach(breached: RequestLimit) -> None:
    _, name = breached.request_args
    LIMITED.labels(name).inc()


def _keys() -> RateLimitKeys:
    keys: RateLimitKeys = g.rate_limit_keys
    return keys


def _find_keys(endpoint: str) -> RateLimitKeys:
    requirement = requirement_of(current_app.view_functions[endpoint])
    limit = LIMIT_BY_ENDPOINT.get(endpoint, "page" if requirement.is_page else "default")
    if requirement.is_page:
        player_id = rate_limit_key_of_credentials() if session_cookie() is not None else None
        return RateLimitKeys(limit, str(player_id or normalize_address(request.remote_addr)))
    if requirement.kind == "public":
        return RateLimitKeys(
            limit,
            normalize_address(request.remote_addr),
            _attempted_username() if endpoint in PER_USERNAME_ENDPOINTS else None,
        )
    if (key_id := _known_api_key()) is not None:
        limit = "api_key" if limit in API_KEY_LIMITS else limit
        return RateLimitKeys(limit, str(key_id), cost=_cost(endpoint, limit))
    if (key := rate_limit_key_of_credentials(refresh=requirement.kind == "refresh")) is not None:
        return RateLimitKeys(limit, str(key), cost=_cost(endpoint, limit))
    # Expired tokens of all players at one address must not use up the limit of that address. An expired token may be
    # known to others, so it does not count for the player's valid ones.
    if (player_id := player_of_expired_token()) is not None:
        return RateLimitKeys("anonymous", str(player_id))
    if "Authorization" not in request.headers:
        if requirement.kind == "socket" and "ticket" in request.args:
            return RateLimitKeys("websocket_ticket", normalize_address(request.remote_addr))
        if requirement.only_if_setting or requirement.allows_signed_link:
            return RateLimitKeys(limit, normalize_address(request.remote_addr))
    return RateLimitKeys("anonymous", normalize_address(request.remote_addr))


def _cost(endpoint: str, limit: LimitName) -> int:
    """Return how many requests this one counts for: a batch by its entries, but never more than the limit allows."""
    if (name := BATCH_ENDPOINTS.get(endpoint)) is None:
        return 1
    try:
        body = request.get_json(silent=True)
    except (Invalid, RequestEntityTooLarge):  # reported when the body is validated
        return 1
    entries = body.get(name) if isinstance(body, dict) else None
    size = ceil(len(entries) / ENTRIES_PER_REQUEST) if isinstance(entries, list) else 1
    return max(1, min(size, parse(_limit(limit)).amount))


def _known_api_key() -> UUID | None:
    """Return the id of the presented API key, if this process has authenticated it before."""
    try:
        text = presented_api_key()
    except Unauthenticated:
        return None
    return _known_api_keys().get(_digest(text)) if text else None


def _known_api_keys() -> dict[bytes, UUID]:
    known: dict[bytes, UUID] = current_app.extensions[KNOWN_API_KEYS]
    return known


def _remember_api_key(key_id: UUID) -> None:
    known = _known_api_keys()
    if len(known) >= MAX_REMEMBERED_KEYS:
        known.clear()
    known[_digest(bearer_token())] = key_id


def _digest(text: str) -> bytes:
    return sha256(text.encode("utf-8", "replace")).digest()


def _attempted_username() -> str | None:
    """Return a digest of the username in the body, in its normal form. The player need not exist."""
    try:
        body = request.form if is_form() else request.get_json(silent=True)
    except (Invalid, RequestEntityTooLarge):  # reported when the body is validated
        return None
    name = body.get("username") if isinstance(body, dict) else None
    if not isinstance(name, str):
        return None
    normal = unicodedata.normalize("NFKD", name).casefold().encode("ascii", "ignore")
    return sha256(normal).hexdigest()[:32]


def normalize_address(address: str | None) -> str:
    """Return the key of an address: of IPv6 its /56, of an IPv4-mapped address the IPv4 one. "unknown" if malformed."""
    parsed = parse_address(address or "")
    if isinstance(parsed, IPv6Address):
        return str(ip_network((parsed, IPV6_PREFIX_LENGTH), strict=False))
    return "unknown" if parsed is None else str(parsed)


def _message(name: LimitName) -> str:
    return f"The limit RATE_LIMIT_{name.upper()} ({_limit(name)}) is used up. Retry after the seconds in Retry-After."


def _limit(name: LimitName) -> str:
    limit: str = getattr(current_settings(), f"rate_limit_{name}")
    return limit
