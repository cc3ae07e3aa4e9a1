"""The one gate: who calls, and whether they may.

Decided before a body is looked at; a route that states no requirement is a defect.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import lru_cache
from typing import Any, Literal, TypeVar, cast
from uuid import UUID

import jwt
from flask import Flask, current_app, g, request
from flask_jwt_extended import JWTManager

from shared.accounts import store as accounts
from shared.accounts.external_tokens import ExternalIdentity
from shared.errors import Forbidden, NotFound, Unauthenticated
from shared.infra import db
from shared.infra.db import Conn
from shared.infra.keys import key_for
from shared.organizations import api_keys
from shared.organizations import store as organizations
from shared.organizations.api_keys import ApiKey, Scope
from shared.organizations.rules import Role, includes_role
from shared.settings import Settings
from web.http import external_auth
from web.http.settings import current_settings

View = TypeVar("View", bound=Callable[..., Any])
ALGORITHM = "HS256"

RequirementKind = Literal["public", "player", "refresh", "oneself", "role", "socket"]


@dataclass(frozen=True)
class Caller:
    """Who sent the request: a player, and the login (refresh family) that the token belongs to; or an API key."""

    player_id: UUID | None
    session_id: UUID | None
    generation: int | None = None  # of a refresh token
    key: ApiKey | None = None

    @property
    def id(self) -> UUID:
        """The player's, else the key's: whose Idempotency-Keys, budgets and audit lines they are."""
        found = self.key.id if self.key else self.player_id
        if found is None:
            raise LookupError("a caller is a player or a key")
        return found

    @property
    def login(self) -> tuple[UUID, UUID]:
        """The player and the refresh family of a caller who is logged in here. Raises Forbidden."""
        if self.player_id is None or self.session_id is None:
            raise Forbidden
        return self.player_id, self.session_id


@dataclass(frozen=True)
class Requirement:
    """What a route asks of its caller."""

    kind: RequirementKind
    role: Role | None = None
    scope: Scope | None = None  # of an API key; a route that states none takes no keys
    only_if_setting: str | None = None  # the setting that asks for it
    allows_signed_link: bool = False  # a signed link, judged by the route, takes the place of credentials


def _with_requirement(requirement: Requirement) -> Callable[[View], View]:
    def decorate(view: View) -> View:
        view.requirement = requirement  # type: ignore[attr-defined]
        return view

    return decorate


public = _with_requirement(Requirement("public"))
"""Anybody."""
requires_login = _with_requirement(Requirement("player"))
"""Any player with a valid access token."""
requires_refresh_token = _with_requirement(Requirement("refresh"))
"""A refresh token instead of an access token; whether it was used before is the route's to decide."""
requires_self = _with_requirement(Requirement("oneself"))
"""The player whose id is in the path."""
requires_websocket_access = _with_requirement(Requirement("socket"))
"""A WebSocket: credentials by header or ticket, judged in `web/realtime/websockets.py` before the upgrade."""


def requires_login_or_key(scope: Scope) -> Callable[[View], View]:
    """Any player with a valid access token, or an API key with this scope: whom it acts for is the route's to judge."""
    return _with_requirement(Requirement("player", scope=scope))


def requires_role(role: Role, *, scope: Scope | None = None) -> Callable[[View], View]:
    """A member of the organization in the path whose role is this one or above it, or a key of it with this scope."""
    return _with_requirement(Requirement("role", role, scope))


def requires_login_if(setting: str) -> Callable[[View], View]:
    """Any player with a valid access token; where the setting is false, also anybody who presents no credentials."""
    return _with_requirement(Requirement("player", only_if_setting=setting))


def allow_signed_link(view: View) -> View:
    """Stands above what the route requires otherwise: a request with a `signature` needs no credentials, and the route
    judges it."""
    return _with_requirement(replace(requirement_of(view), allows_signed_link=True))(view)


def optional_caller() -> Caller | None:
    """The caller of this request, if it had credentials."""
    return cast("Caller | None", g.get("caller"))


def current_caller() -> Caller:
    """The caller of this request, on any route that is not public."""
    return cast("Caller", g.caller)


def current_player_id() -> UUID:
    """The player who calls, on a route that takes no keys."""
    if (player_id := current_caller().player_id) is None:
        raise Forbidden
    return player_id


def current_role() -> Role:
    """The caller's role in the organization of the path, on a route that requires one."""
    return cast("Role", g.role)


def requirement_of(view: Callable[..., Any] | None) -> Requirement:
    """What a view states; a view that states nothing is a defect, refused rather than opened."""
    found = getattr(view, "requirement", None)
    if not isinstance(found, Requirement):
        raise LookupError(f"{view!r} states no requirement")
    return found


def check_access() -> None:
    """Authenticate, then authorize. Runs before every view."""
    if request.endpoint is None or request.method == "OPTIONS":  # 404 or 405 follow, or the methods there are
        return
    needed = requirement_of(current_app.view_functions.get(request.endpoint))
    if needed.kind == "socket":
        return
    if _is_open(needed):
        path_ids()
        return
    if (text := _presented_key()) is not None:
        g.caller, g.role = authorize_api_key(text, needed.scope)
        return
    if needed.role is not None:
        g.caller, g.role = authorize_member(needed.role)
        return
    g.caller = authenticate(refresh=needed.kind == "refresh")
    if needed.kind == "oneself" and path_ids()["player_id"] != g.caller.player_id:
        raise Forbidden
    path_ids()


def _is_open(needed: Requirement) -> bool:
    """Whether this request needs no credentials."""
    if needed.kind == "public" or (needed.allows_signed_link and "signature" in request.args):
        return True
    if needed.only_if_setting is None or "Authorization" in request.headers:
        return False
    return not getattr(current_settings(), needed.only_if_setting)


def authenticate(*, refresh: bool = False) -> Caller:
    """The player by the Authorization header. Raises Unauthenticated, and Forbidden for a key."""
    if (text := _presented_key()) is not None:
        return authorize_api_key(text, None)[0]
    found = _verified_caller("refresh" if refresh else "access")
    if not refresh:
        player_id, family_id = found.login
        with db.connection() as conn:
            if not accounts.is_session_active(conn, family_id, player_id):
                raise Unauthenticated
    return found


def _presented_key() -> str | None:
    """The API key in the Authorization header, if what is there looks like one."""
    token = _bearer()
    return token if token.startswith("wm_") else None


def _bearer() -> str:
    """The bearer token of the Authorization header. Raises Unauthenticated."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme != "Bearer":
        raise Unauthenticated
    return token


def authorize_api_key(text: str, scope: Scope | None) -> tuple[Caller, Role]:
    """Authenticate and authorize an API key with one look at PostgreSQL: it acts where its scope lets it, and in no
    organization but its own. Raises Unauthenticated, NotFound or Forbidden."""
    with db.connection() as conn:
        key = api_keys.authenticate(conn, text)
        if key is None:
            raise Unauthenticated
        org_id = path_ids().get("org_id", key.org_id)
        if org_id != key.org_id and not organizations.exists(conn, org_id):
            raise NotFound
    if scope is None:
        raise Forbidden("API keys may not do this.")
    if org_id != key.org_id:
        raise Forbidden
    if scope not in key.scopes:
        raise Forbidden(f"This key lacks the scope {scope}.")
    return Caller(None, None, key=key), key.role


def rate_limit_key_of_credentials(*, refresh: bool = False) -> UUID | None:
    """Whose budget the credentials are good for, as far as they prove themselves without a store: an access token names
    its player, a refresh token its login, since a stolen one outlives what it was stolen from."""
    try:
        theirs = None if refresh else _external_identity(_bearer())
        if theirs is not None:
            return theirs.id
        found = _own_token(_bearer(), "refresh" if refresh else "access")
    except Unauthenticated:
        return None
    return found.session_id if refresh else found.player_id


def _verified_caller(kind: Literal["access", "refresh"]) -> Caller:
    """Whom a bearer token names, once its signature and times are checked. Its login may have ended. Raises
    Unauthenticated."""
    token = _bearer()
    if kind == "access" and (theirs := _external_identity(token)) is not None:
        return Caller(*external_auth.get_or_create_session(theirs))
    return _own_token(token, kind)


def _external_identity(token: str) -> ExternalIdentity | None:
    """Whom a token of an outside service names, if it is one. Raises Unauthenticated."""
    service = external_auth.issuer()
    return service.verify(token) if service is not None else None


def _own_token(token: str, kind: Literal["access", "refresh"]) -> Caller:
    try:
        claims = _verified(token)
        found = Caller(UUID(claims["sub"]), UUID(claims["family"]), claims.get("generation"))
        is_over = int(claims["exp"]) <= time.time()
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError, RecursionError):
        raise Unauthenticated from None
    if claims["type"] != kind or is_over:
        raise Unauthenticated
    return found


@lru_cache(maxsize=4_096)
def _verified(token: str) -> dict[str, Any]:
    """A token's claims; its times held when it was first seen, and of these only `exp` can cease to. Raises PyJWTError.

    Decoded once, and remembered: flask-jwt-extended, which makes our tokens, decodes each four times per request, and
    that was a tenth of accepting a scan.
    """
    key = key_for("session tokens")
    required = ["exp", "type", "sub", "family"]
    claims: dict[str, Any] = jwt.decode(token, key, algorithms=[ALGORITHM], options={"require": required})
    return claims


def authorize_member(needed: Role) -> tuple[Caller, Role]:
    """Authenticate and authorize with one look at PostgreSQL: the caller, and their role in the path's organization."""
    found = _verified_caller("access")
    try:
        org_id = parse_id((request.view_args or {})["org_id"])
    except ValueError:
        org_id = None
    with db.connection() as conn:
        is_alive, role = organizations.get_session_and_role(conn, org_id, *found.login)
        if not is_alive:
            raise Unauthenticated
        return found, _require_role(conn, path_ids()["org_id"], role, needed)


def authorize(player_id: UUID, org_id: UUID, needed: Role) -> Role:
    """The player's role in the organization. NotFound where there is none such, Forbidden where it is too low."""
    with db.connection() as conn:
        return _require_role(conn, org_id, organizations.get_role(conn, org_id, player_id), needed)


def _require_role(conn: Conn, org_id: UUID, role: Role | None, needed: Role) -> Role:
    if role is None and not organizations.exists(conn, org_id):
        raise NotFound
    if role is None or not includes_role(role, needed):
        raise Forbidden
    return role


def path_ids() -> dict[str, UUID]:
    """The ids in the path. Raises NotFound for one that is malformed, after authentication."""
    try:
        return {name: parse_id(value) for name, value in (request.view_args or {}).items() if name.endswith("_id")}
    except ValueError:
        raise NotFound from None


def parse_id(text: str) -> UUID:
    """An id in its one canonical spelling. Raises ValueError."""
    found = UUID(text)
    if str(found) != text.lower():
        raise ValueError
    return found


def init_app(app: Flask, settings: Settings) -> None:
    """Check the access of every request from here on. Raises SettingsError if an external key file is unusable."""
    app.config.update(
        JWT_SECRET_KEY=key_for("session tokens"),
        JWT_ALGORITHM=ALGORITHM,
        JWT_ACCESS_TOKEN_EXPIRES=timedelta(minutes=settings.access_token_minutes),
        JWT_REFRESH_TOKEN_EXPIRES=timedelta(days=settings.refresh_token_days),
    )
    JWTManager(app)
    external_auth.init_app(app, settings)
    app.before_request(check_access)
