"""Authentication and authorization: identify the caller, and check the view's requirement.

Both happen before the body is read. A view without a requirement is a programming error.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Literal, TypeVar, cast
from uuid import UUID

from flask import Flask, current_app, g, request
from flask_jwt_extended import JWTManager

from shared.accounts import sessions
from shared.accounts.csrf import may_write
from shared.errors import (
    CredentialsMissing,
    CredentialsRevoked,
    Forbidden,
    NotFound,
    OrganizationClosed,
    ScopeMissing,
    Unauthenticated,
)
from shared.infra import db
from shared.infra.db import Conn
from shared.infra.keys import key_for
from shared.organizations import api_keys, members
from shared.organizations import store as organizations
from shared.organizations.api_keys import Scope
from shared.organizations.rules import Role, includes_role
from shared.organizations.store import Organization
from shared.settings import Settings
from web.http import external_auth
from web.http.credentials import ALGORITHM, Caller, presented_api_key, session_cookie, verified_caller
from web.http.origins import own_origins
from web.http.settings import current_settings

View = TypeVar("View", bound=Callable[..., Any])

RequirementKind = Literal["public", "player", "refresh", "self", "role", "socket", "page", "page_login", "page_role"]


@dataclass(frozen=True)
class Requirement:
    """What a view requires of its caller."""

    kind: RequirementKind
    role: Role | None = None
    scope: Scope | None = None
    """Scope that an API key needs. None: no API key can call the view."""
    only_if_setting: str | None = None
    """Name of the setting that turns the requirement on."""
    in_closed: bool = False
    """True if members of a closed organization can call the view too."""
    allows_signed_link: bool = False
    """True if a signed link replaces credentials. The view verifies the signature."""
    browser_only: bool = False
    """True if the view sets or ends the session cookie: no Authorization header, and writes by own pages only."""

    @property
    def is_page(self) -> bool:
        """True for an HTML page. Its caller is known by the session cookie only."""
        return self.kind in ("page", "page_login", "page_role")


def _with_requirement(requirement: Requirement) -> Callable[[View], View]:
    def decorate(view: View) -> View:
        view.requirement = requirement  # type: ignore[attr-defined]
        return view

    return decorate


public = _with_requirement(Requirement("public"))
"""No credentials."""
requires_login = _with_requirement(Requirement("player"))
"""Any player with a valid access token."""
requires_refresh_token = _with_requirement(Requirement("refresh"))
"""A refresh token instead of an access token. The view checks whether it was already used."""
requires_self = _with_requirement(Requirement("self"))
"""The player whose id is in the path."""
page_public = _with_requirement(Requirement("page"))
"""A page for any visitor."""
page_requires_login = _with_requirement(Requirement("page_login"))
"""A page for signed-in players. Other visitors are redirected to the sign-in page."""


def page_requires_role(role: Role, *, in_closed: bool = False) -> Callable[[View], View]:
    """A page for members, with at least this role, of the organization whose slug is in the path.

    For everyone else the organization does not exist. A closed organization is 410, unless `in_closed` is true.
    """
    return _with_requirement(Requirement("page_role", role, in_closed=in_closed))


requires_websocket_access = _with_requirement(Requirement("socket"))
"""A header or a ticket, checked in `web/realtime/websockets.py` before the upgrade."""


def requires_login_or_key(scope: Scope) -> Callable[[View], View]:
    """Any player with a valid access token, or an API key with this scope. The view checks whom the key acts for."""
    return _with_requirement(Requirement("player", scope=scope))


def requires_role(role: Role, *, scope: Scope | None = None, in_closed: bool = False) -> Callable[[View], View]:
    """A member of the organization in the path with at least this role, or an API key of it with this scope.

    A closed organization is 410, unless `in_closed` is true.
    """
    return _with_requirement(Requirement("role", role, scope, in_closed=in_closed))


def requires_login_if(setting: str) -> Callable[[View], View]:
    """Any player with a valid access token. If the setting is false, also a request without credentials."""
    return _with_requirement(Requirement("player", only_if_setting=setting))


def allow_signed_link(view: View) -> View:
    """Let a request with a `signature` pass without credentials. The view verifies it.

    Applied above the view's requirement for all other requests.
    """
    return _with_requirement(replace(requirement_of(view), allows_signed_link=True))(view)


def browser_only(view: View) -> View:
    """Refuse an `Authorization` header, and writes that another site sends. Applied above the view's requirement."""
    return _with_requirement(replace(requirement_of(view), browser_only=True))(view)


def optional_caller() -> Caller | None:
    """Return the caller of this request. None if it had no credentials."""
    return cast("Caller | None", g.get("caller"))


def current_caller() -> Caller:
    """Return the caller of this request, in a view that is not public."""
    return cast("Caller", g.caller)


def current_player_id() -> UUID:
    """Return the id of the calling player. Raise Forbidden for an API key."""
    if (player_id := current_caller().player_id) is None:
        raise Forbidden
    return player_id


def current_role() -> Role:
    """Return the caller's role in the organization of the path, in a view that requires a role."""
    return cast("Role", g.role)


def current_organization() -> Organization:
    """Return the organization of the path, with the caller's role, in a page that requires a role."""
    return cast("Organization", g.organization)


def requirement_of(view: Callable[..., Any] | None) -> Requirement:
    """Return the view's requirement. Raise LookupError if it has none, so a missing decorator opens nothing."""
    requirement = getattr(view, "requirement", None)
    if not isinstance(requirement, Requirement):
        raise LookupError(f"{view!r} has no requirement")
    return requirement


def check_access() -> None:
    """Authenticate the caller, then check the view's requirement. Runs before every view."""
    # Without an endpoint the response is 404 or 405. OPTIONS returns the methods of a path.
    if request.endpoint is None or request.method == "OPTIONS":
        return
    needed = requirement_of(current_app.view_functions.get(request.endpoint))
    if needed.kind == "socket":
        return
    if needed.is_page:
        g.caller = _page_caller()
        if needed.kind != "page" and g.caller is None:
            raise CredentialsMissing
        if needed.role is not None:
            g.organization = _page_organization(needed.role, in_closed=needed.in_closed)
            # The view gets its ids as UUIDs, and the organization from `current_organization`.
            request.view_args = {name: value for name, value in (request.view_args or {}).items() if name != "slug"}
            request.view_args |= path_ids()
        return
    if needed.browser_only:
        if "Authorization" in request.headers:
            raise Forbidden("This route sets the session cookie of a browser. Send no Authorization header.")
        check_same_site()
    elif session_cookie() is not None and not _is_open(needed):
        check_same_site()
    if _is_open(needed):
        path_ids()
        return
    if (text := presented_api_key()) is not None:
        g.caller, g.role = authorize_api_key(text, needed.scope)
        return
    if needed.role is not None:
        g.caller, g.role = authorize_member(needed.role, in_closed=needed.in_closed)
        return
    g.caller = authenticate(refresh=needed.kind == "refresh")
    if needed.kind == "self" and path_ids()["player_id"] != g.caller.player_id:
        raise Forbidden
    path_ids()


def _page_caller() -> Caller | None:
    """Return the player of the session cookie, if the session is active."""
    if session_cookie() is None:
        return None
    try:
        return authenticate()
    except Unauthenticated:
        return None


def _page_organization(needed: Role, *, in_closed: bool) -> Organization:
    """Return the organization in the path of a page. Raise NotFound below the role, and OrganizationClosed."""
    slug = (request.view_args or {})["slug"]
    with db.connection() as conn:
        organization = organizations.find_by_slug(conn, slug, current_player_id())
    if organization is None or not includes_role(organization.role, needed):
        raise NotFound
    if organization.is_closed and not in_closed:
        raise OrganizationClosed
    return organization


def check_same_site() -> None:
    """Raise Forbidden for a write with the session cookie that none of Waymark's own pages sent."""
    headers = request.headers
    if not may_write(request.method, headers.get("Sec-Fetch-Site"), headers.get("Origin"), own_origins()):
        raise Forbidden("Another site sent this request with your session. Only Waymark's own pages can do that.")


def _is_open(needed: Requirement) -> bool:
    """Return whether this request needs no credentials."""
    if needed.kind == "public" or (needed.allows_signed_link and "signature" in request.args):
        return True
    if needed.only_if_setting is None or "Authorization" in request.headers or session_cookie() is not None:
        return False
    return not getattr(current_settings(), needed.only_if_setting)


def authenticate(*, refresh: bool = False) -> Caller:
    """Return the player of the Authorization header. Raise Unauthenticated, and Forbidden for an API key."""
    if (text := presented_api_key()) is not None:
        return authorize_api_key(text, None)[0]
    caller = verified_caller("refresh" if refresh else "access")
    if not refresh:
        player_id, session_id = caller.session
        with db.connection() as conn:
            if not sessions.is_session_active(conn, session_id, player_id):
                raise CredentialsRevoked
    return caller


def authorize_api_key(text: str, scope: Scope | None) -> tuple[Caller, Role]:
    """Authenticate an API key, and check its organization and scope, in one round trip to PostgreSQL.

    Raise Unauthenticated, NotFound or Forbidden.
    """
    with db.connection() as conn:
        key = api_keys.authenticate(conn, text)
        org_id = path_ids().get("org_id", key.org_id)
        if org_id != key.org_id and not organizations.exists(conn, org_id):
            raise NotFound
    if scope is None:
        raise Forbidden("API keys cannot do this.")
    if org_id != key.org_id:
        raise Forbidden
    if scope not in key.scopes:
        raise ScopeMissing(scope)
    return Caller(None, None, key=key), key.role


def authorize_member(needed: Role, *, in_closed: bool) -> tuple[Caller, Role]:
    """Authenticate a player and check their role in the organization of the path, in one round trip to PostgreSQL.

    Raise Unauthenticated, NotFound, Forbidden or OrganizationClosed.
    """
    caller = verified_caller("access")
    try:
        org_id = parse_id((request.view_args or {})["org_id"])
    except ValueError:
        org_id = None
    with db.connection() as conn:
        is_alive, is_use_due, role, is_closed = members.get_session_and_role(conn, org_id, *caller.session)
        if not is_alive:
            raise CredentialsRevoked
        if is_use_due:
            sessions.record_use(conn, caller.session[1])
        role = _require_role(conn, path_ids()["org_id"], role, needed)
    if is_closed and not in_closed:
        raise OrganizationClosed
    return caller, role


def authorize(player_id: UUID, org_id: UUID, needed: Role) -> Role:
    """Return the player's role in the organization.

    Raise NotFound if it does not exist, Forbidden if the role is less than `needed`, and OrganizationClosed.
    """
    with db.connection() as conn:
        role = _require_role(conn, org_id, members.get_role(conn, org_id, player_id), needed)
        if organizations.is_closed(conn, org_id):
            raise OrganizationClosed
    return role


def _require_role(conn: Conn, org_id: UUID, role: Role | None, needed: Role) -> Role:
    if role is None and not organizations.exists(conn, org_id):
        raise NotFound
    if role is None or not includes_role(role, needed):
        raise Forbidden
    return role


def path_ids() -> dict[str, UUID]:
    """Return the ids in the path. Raise NotFound for a malformed one, after authentication."""
    try:
        return {name: parse_id(value) for name, value in (request.view_args or {}).items() if name.endswith("_id")}
    except ValueError:
        raise NotFound from None


def parse_id(text: str) -> UUID:
    """Return the UUID in its hyphenated form, in any letter case. Raise ValueError for other forms."""
    value = UUID(text)
    if str(value) != text.lower():
        raise ValueError
    return value


def init_app(app: Flask, settings: Settings) -> None:
    """Check the access of every request. Raise SettingsError if an external key file is unusable."""
    app.config.update(
        JWT_SECRET_KEY=key_for("session tokens", settings),
        JWT_ALGORITHM=ALGORITHM,
        JWT_ACCESS_TOKEN_EXPIRES=timedelta(minutes=settings.access_token_minutes),
        JWT_REFRESH_TOKEN_EXPIRES=timedelta(days=settings.refresh_token_days),
    )
    JWTManager(app)
    external_auth.init_app(app, settings)
    app.before_request(check_access)
