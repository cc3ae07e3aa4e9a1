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
from web.http.auth import claimed, requirement_of, visitor
from web.http.rate_limit_storage import SCHEME

Budget = Literal[
    "default",
    "unproved",
    "ticket",
    "key",
    "login",
    "login_name",
    "register",
    "refresh",
    "scan",
    "generate",
    "render",
    "image",
]
"""Each has its setting, RATE_LIMIT_ and its name."""

BUDGETS: dict[str, Budget] = {
    "accounts.begin_as_guest": "register",
    "accounts.log_in": "login",
    "accounts.refresh": "refresh",
    "accounts.register": "register",
    "accounts.upgrade": "register",
    "generate.generate": "generate",
    "generate.retrieve_image": "image",
    "images.business_image": "image",
    "images.code_image": "image",
    "imports.import_file": "render",
    "imports.import_list": "render",
    "profile.change_password": "login",
    "profile.erase": "login",
    "renders.ask": "render",
    "scans.accept": "scan",
}
"""What a request to these routes is taken from; to all others, from `default`."""
BY_NAME = {"accounts.log_in"}
"""Routes that are counted against the `username` in their body, too: no rotation of addresses helps to guess one."""
OF_A_KEY = {"default", "scan"}
"""What an API key has one wide budget for: it acts for many players."""
FREE = {"operations.healthz", "operations.readyz", "metrics.metrics"}
"""What a platform asks of a process, from few addresses and often."""
MAX_KEYS = 4_096
HOUSEHOLD = 56
HEADERS = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "Retry-After")


@dataclass(frozen=True)
class Spender:
    """Whose budget a request is taken from."""

    budget: Budget
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
                lambda: _limit("login_name") if _spender().name else "",
                key_function=lambda: _spender().name or "",
                scope="login_name",
            ),
        ],
        storage_uri=f"{SCHEME}://",
        in_memory_fallback_enabled=True,
    )
    limiter.request_filter(lambda: request.method == "OPTIONS" or request.endpoint in FREE)
    logging.getLogger("flask-limiter").setLevel(logging.WARNING)  # a refused request has its line already

    @app.before_request
    def find_spender() -> None:
        if request.endpoint is not None and request.method != "OPTIONS":
            g.spender = _find_spender(request.endpoint)

    limiter.init_app(app)

    @app.after_request
    def tell(response: Response) -> Response:
        """What is left of the budget that will be spent first, in seconds and not in dates: clocks differ."""
        if (found := visitor()) is not None and found.key is not None:
            _remember(found.key.id)
        if limits := limiter.current_limits:
            tightest = min(limits, key=lambda each: (not each.breached, each.remaining / each.limit.amount))
            reset = max(0, ceil(tightest.window.reset_time - time.time()))
            told = (tightest.limit.amount, max(0, tightest.remaining), reset, max(1, reset))
            for name, value in zip(HEADERS[: 4 if tightest.breached else 3], told, strict=False):
                response.headers[name] = str(value)
        return response


def _spender() -> Spender:
    found: Spender = g.spender
    return found


def _find_spender(endpoint: str) -> Spender:
    budget = BUDGETS.get(endpoint, "default")
    needed = requirement_of(current_app.view_functions[endpoint])
    if needed.kind == "public":
        return Spender(budget, address(request.remote_addr), _tried_name() if endpoint in BY_NAME else None)
    presented = request.headers.get("Authorization", "")
    if presented.startswith("Bearer wm_") and (key_id := _known_keys.get(_digest(presented))) is not None:
        return Spender("key" if budget in OF_A_KEY else budget, str(key_id))
    if (who := claimed(refresh=needed.kind == "refresh")) is not None:
        return Spender(budget, str(who))
    if "Authorization" not in request.headers:
        if needed.kind == "socket" and "ticket" in request.args:
            return Spender("ticket", address(request.remote_addr))
        if needed.waived_unless or needed.or_link:
            return Spender(budget, address(request.remote_addr))
    return Spender("unproved", address(request.remote_addr))


_known_keys: dict[bytes, UUID] = {}
"""API keys that the gate of this process has let in, by a digest of what presents them. A key shows nothing by itself:
until it is known, it counts as a guess at one."""


def _remember(key_id: UUID) -> None:
    if len(_known_keys) >= MAX_KEYS:
        _known_keys.clear()
    _known_keys[_digest(request.headers["Authorization"])] = key_id


def _digest(text: str) -> bytes:
    return sha256(text.encode("utf-8", "replace")).digest()


def _tried_name() -> str | None:
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


def address(told: str | None) -> str:
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
        return str(ip_network((found, HOUSEHOLD), strict=False))
    return str(found)


def _limit(budget: Budget) -> str:
    limit: str = getattr(settings(), f"rate_limit_{budget}")
    return limit
