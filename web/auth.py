"""The one gate: who calls, and whether they may.

Decided before a body is looked at; a route that states no requirement is a defect.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, TypeVar, cast
from uuid import UUID

import jwt
from flask import Flask, current_app, g, request
from flask_jwt_extended import JWTManager

from shared import db
from shared.accounts import store as accounts
from shared.errors import Forbidden, NotFound, Unauthenticated
from shared.organizations import store as organizations
from shared.organizations.rules import Role, at_least
from shared.settings import settings

View = TypeVar("View", bound=Callable[..., Any])
ALGORITHM = "HS256"

Kind = Literal["public", "player", "refresh", "oneself", "role", "socket"]


@dataclass(frozen=True)
class Caller:
    """Who sent the request: a player, and the login (refresh family) that the token belongs to."""

    player_id: UUID
    family_id: UUID
    generation: int | None = None  # of a refresh token


@dataclass(frozen=True)
class Requirement:
    """What a route asks of its caller."""

    kind: Kind
    role: Role | None = None


def _states(requirement: Requirement) -> Callable[[View], View]:
    def decorate(view: View) -> View:
        view.requirement = requirement  # type: ignore[attr-defined]
        return view

    return decorate


public = _states(Requirement("public"))
"""Anybody."""
signed_in = _states(Requirement("player"))
"""Any player with a valid access token."""
refreshing = _states(Requirement("refresh"))
"""A refresh token instead of an access token; whether it was used before is the route's to decide."""
oneself = _states(Requirement("oneself"))
"""The player whose id is in the path."""
live_socket = _states(Requirement("socket"))
"""A WebSocket: credentials by header or ticket, judged in `web/live.py` before the upgrade."""


def requires_role(role: Role) -> Callable[[View], View]:
    """A member of the organization in the path whose role is this one or above it."""
    return _states(Requirement("role", role))


def caller() -> Caller:
    """The caller of this request, on any route that is not public."""
    return cast("Caller", g.caller)


def role() -> Role:
    """The caller's role in the organization of the path, on a route that requires one."""
    return cast("Role", g.role)


def requirement_of(view: Callable[..., Any] | None) -> Requirement:
    """What a view states; a view that states nothing is a defect, refused rather than opened."""
    found = getattr(view, "requirement", None)
    if not isinstance(found, Requirement):
        raise LookupError(f"{view!r} states no requirement")
    return found


def gate() -> None:
    """Authenticate, then authorize. Runs before every view."""
    if request.endpoint is None or request.method == "OPTIONS":  # 404 or 405 follow, or the methods there are
        return
    needed = requirement_of(current_app.view_functions.get(request.endpoint))
    if needed.kind in ("public", "socket"):
        return
    g.caller = authenticate(refresh=needed.kind == "refresh")
    ids = path_ids()
    if needed.kind == "oneself" and ids["player_id"] != g.caller.player_id:
        raise Forbidden
    if needed.role is not None:
        g.role = authorize(g.caller.player_id, ids["org_id"], needed.role)


def authenticate(*, refresh: bool = False) -> Caller:
    """The caller by the Authorization header. Raises Unauthenticated."""
    claims = _claims(request.headers.get("Authorization", ""))
    if claims["type"] != ("refresh" if refresh else "access"):
        raise Unauthenticated
    try:
        found = Caller(UUID(claims["sub"]), UUID(claims["family"]), claims.get("generation"))
    except (ValueError, TypeError, AttributeError):
        raise Unauthenticated from None
    if not refresh:
        with db.connection() as conn:
            if not accounts.is_family_alive(conn, found.family_id, found.player_id):
                raise Unauthenticated
    return found


def _claims(header: str) -> dict[str, Any]:
    """What a bearer token says, once its signature and times are checked. Looked at once: flask-jwt-extended, which
    makes our tokens, decodes each four times, and that was a tenth of accepting a scan."""
    scheme, _, token = header.partition(" ")
    if scheme != "Bearer":
        raise Unauthenticated
    key = settings().jwt_secret.get_secret_value()
    try:
        return jwt.decode(token, key, algorithms=[ALGORITHM], options={"require": ["exp", "type", "sub", "family"]})
    except jwt.PyJWTError:
        raise Unauthenticated from None


def authorize(player_id: UUID, org_id: UUID, needed: Role) -> Role:
    """The player's role in the organization. NotFound where there is none such, Forbidden where it is too low."""
    with db.connection() as conn:
        found = organizations.role_in(conn, org_id, player_id)
        if found is None and not organizations.exists(conn, org_id):
            raise NotFound
    if found is None or not at_least(found, needed):
        raise Forbidden
    return found


def path_ids() -> dict[str, UUID]:
    """The ids in the path. Raises NotFound for one that is malformed, after authentication."""
    try:
        return {name: as_id(value) for name, value in (request.view_args or {}).items() if name.endswith("_id")}
    except ValueError:
        raise NotFound from None


def as_id(text: str) -> UUID:
    """An id in its one canonical spelling. Raises ValueError."""
    found = UUID(text)
    if str(found) != text.lower():
        raise ValueError
    return found


def init_app(app: Flask) -> None:
    app.config.update(
        JWT_SECRET_KEY=settings().jwt_secret.get_secret_value(),
        JWT_ALGORITHM=ALGORITHM,
        JWT_ACCESS_TOKEN_EXPIRES=timedelta(minutes=settings().access_token_minutes),
        JWT_REFRESH_TOKEN_EXPIRES=timedelta(days=settings().refresh_token_days),
    )
    JWTManager(app)
    app.before_request(gate)
