"""Budgets: how often a player, an API key or an address may ask, and what each answer tells of it.

Judged before the gate, by Flask-Limiter, so that a refused request costs neither PostgreSQL nor argon2. Whose budget it
is follows from the credentials as far as they prove themselves: a token that we signed names its player; whatever is
not known to be good counts against the address. See docs/decisions/0026.
"""

import logging
import time
import unicodedata
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import IPv6Address, ip_address, ip_network
from math import ceil
from typing import Literal
from uuid import UUID

from flask import Flask, Response, current_app, g, request
from flask_limiter import ApplicationLimit, Limiter
from werkzeug.exceptions import RequestEntityTooLarge

from shared.errors import Invalid
from shared.settings import settings
from web.http.auth import optional_caller, rate_limit_key_of_credentials, requirement_of
from web.http.rate_limit_storage import SCHEME

LimitName = Literal[
    "default",
    "anonymous",
    "websocket_ticket",
    "api_key",
    "login",
    "login_per_username",
    "register",
    "refresh",
    "scan",
    "generate",
    "render",
    "image",
]
"""Each has its setting, RATE_LIMIT_ and its name."""

LIMIT_BY_ENDPOINT: dict[str, LimitName] = {
    "accounts.create_guest": "register",
    "accounts.log_in": "login",
    "accounts.refresh": "refresh",
    "accounts.register": "register",
    "accounts.upgrade": "register",
    "generated_codes.create_generated_code": "generate",
    "generated_codes.get_generated_image": "image",
    "images.get_business_image": "image",
    "images.get_code_image": "image",
    "imports.import_codes_csv": "render",
    "imports.import_codes_json": "render",
    "profile.change_password": "login",
    "profile.delete_account": "login",
    "renders.create_render": "render",
    "scans.submit_scan": "scan",
}
"""What a request to these routes is taken from; to all others, from `default`."""
PER_USERNAME_ENDPOINTS = {"accounts.log_in"}
"""Routes that are counted against the `username` in their body, too: no rotation of addresses helps to guess one."""
API_KEY_LIMITS = {"default", "scan"}
"""What an API key has one wide budget for: it acts for many players."""
UNLIMITED_ENDPOINTS = {"health.healthz", "health.readyz", "metrics.metrics"}
"""What a platform asks of a process, from few addresses and often."""
MAX_REMEMBERED_KEYS = 4_096
IPV6_PREFIX_LENGTH = 56
HEADERS = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "Retry-After")


@dataclass(frozen=True)
class RateLimitKeys:
    """Whose budget a request is taken from."""

    budget: LimitName
    who: str
    name: str | None = None  # a digest of the username that is tried


def init_app(app: Flask) -> None:
    """Judge budgets from here on; what is registered before has been done when a request is refused. Without limits
    there is nothing that could cost time."""
    if not settings().rate_limits_enabled:
        return
    limiter = Limiter(
        lambda: _spender().who,
        application_limits=[
            ApplicationLimit(lambda: _limit(_spender().budget), scope=lambda _: _spender().budget),
            ApplicationLimit(
                lambda: _limit("login_per_username") if _spender().name else "",
                key_function=lambda: _spender().name or "",
                scope="login_per_username",
            ),
        ],
        storage_uri=f"{SCHEME}://",
        in_memory_fallback_enabled=True,
    )
    limiter.request_filter(lambda: request.method == "OPTIONS" or request.endpoint in UNLIMITED_ENDPOINTS)
    logging.getLogger("flask-limiter").setLevel(logging.WARNING)  # a refused request has its line already

    @app.before_request
    def find_spender() -> None:
        if request.endpoint is not None and request.method != "OPTIONS":
            g.rate_limit_keys = _find_spender(request.endpoint)

    limiter.init_app(app)

    @app.after_request
    def tell(response: Response) -> Response:
        """What is left of the budget that will be spent first, in seconds and not in dates: clocks differ."""
        if (found := optional_caller()) is not None and found.key is not None:
            _remember_api_key(found.key.id)
        if limits := limiter.current_limits:
            tightest = min(limits, key=lambda each: (not each.breached, each.remaining / each.limit.amount))
            reset = max(0, ceil(tightest.window.reset_time - time.time()))
            told = (tightest.limit.amount, max(0, tightest.remaining), reset, max(1, reset))
            for name, value in zip(HEADERS[: 4 if tightest.breached else 3], told, strict=False):
                response.headers[name] = str(value)
        return response


def _spender() -> RateLimitKeys:
    found: RateLimitKeys = g.rate_limit_keys
    return found


def _find_spender(endpoint: str) -> RateLimitKeys:
    budget = LIMIT_BY_ENDPOINT.get(endpoint, "default")
    needed = requirement_of(current_app.view_functions[endpoint])
    if needed.kind == "public":
        return RateLimitKeys(
            budget,
            normalize_address(request.remote_addr),
            _attempted_username() if endpoint in PER_USERNAME_ENDPOINTS else None,
        )
    presented = request.headers.get("Authorization", "")
    if presented.startswith("Bearer wm_") and (key_id := _known_keys.get(_digest(presented))) is not None:
        return RateLimitKeys("api_key" if budget in API_KEY_LIMITS else budget, str(key_id))
    if (who := rate_limit_key_of_credentials(refresh=needed.kind == "refresh")) is not None:
        return RateLimitKeys(budget, str(who))
    if "Authorization" not in request.headers:
        if needed.kind == "socket" and "ticket" in request.args:
            return RateLimitKeys("websocket_ticket", normalize_address(request.remote_addr))
        if needed.only_if_setting or needed.allows_signed_link:
            return RateLimitKeys(budget, normalize_address(request.remote_addr))
    return RateLimitKeys("anonymous", normalize_address(request.remote_addr))


_known_keys: dict[bytes, UUID] = {}
"""API keys that the gate of this process has let in, by a digest of what presents them. A key shows nothing by itself:
until it is known, it counts as a guess at one."""


def _remember_api_key(key_id: UUID) -> None:
    if len(_known_keys) >= MAX_REMEMBERED_KEYS:
        _known_keys.clear()
    _known_keys[_digest(request.headers["Authorization"])] = key_id


def _digest(text: str) -> bytes:
    return sha256(text.encode("utf-8", "replace")).digest()


def _attempted_username() -> str | None:
    """The name that somebody tries to log in with, however they spell it. Whether it exists makes no difference."""
    try:
        body = request.get_json(silent=True)
    except (Invalid, RequestEntityTooLarge):  # said again once it is judged
        return None
    name = body.get("username") if isinstance(body, dict) else None
    if not isinstance(name, str):
        return None
    plain = unicodedata.normalize("NFKD", name).casefold().encode("ascii", "ignore")
    return sha256(plain).hexdigest()[:32]


def normalize_address(told: str | None) -> str:
    """An address as a budget counts it: of IPv6 the network that one household is given, which is more than a /64 (RFC
    6177, 2; RIPE-690, 4.2)."""
    text = (told or "").strip()
    if text.startswith("["):  # with a port, as some proxies tell it
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ip_network((found, IPV6_PREFIX_LENGTH), strict=False))
    return str(found)


def _limit(budget: LimitName) -> str:
    limit: str = getattr(settings(), f"rate_limit_{budget}")
    return limit
