"""A player's own sessions over HTTP: the devices on which they are logged in."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from flask_openapi import APIBlueprint, Tag
from pydantic import Field

from shared.accounts import sessions
from shared.accounts.sessions import Session
from shared.errors import NotFound
from shared.infra import db
from shared.infra.pubsub_messages import publish_access_change
from web.http.audit_log import record
from web.http.auth import current_caller, current_player_id, requires_login
from web.http.pagination import InvalidCursor, PageQuery, decode_cursor, paginate
from web.http.schemas import Body, Id, ResponseModel, Timestamp

api = APIBlueprint("sessions", __name__, url_prefix="/users/me/sessions", abp_tags=[Tag(name="Accounts")])


class SessionPath(Body):
    session_id: Id


class DeviceSessionResponse(ResponseModel):
    """An active session, from its log-in on."""

    id: Id
    created_at: Timestamp = Field(description="Time of the log-in")
    last_used_at: Timestamp = Field(description="Hour of the last request", examples=["2026-02-12T10:00:00Z"])
    expires_at: Timestamp = Field(description="It ends then, unless its tokens are refreshed before")
    device: Literal["phone", "tablet", "desktop", "other"] | None = Field(
        description="Kind of the device that logged in; null: the session began with a token of another service",
        examples=["phone"],
    )
    current: bool = Field(description="True for the session of this request", examples=[True])


class DeviceSessionsResponse(ResponseModel):
    items: list[DeviceSessionResponse]
    next_cursor: str | None


@api.get("", responses={200: DeviceSessionsResponse})
@requires_login
def list_sessions(query: PageQuery) -> dict[str, Any]:
    """List your sessions

    Active sessions, newest first. Each log-in on a device is one.
    """
    before = _position(query.cursor) if query.cursor else None
    with db.connection() as conn:
        found = sessions.list_page(conn, current_player_id(), limit=query.limit + 1, before=before)
    page, next_cursor = paginate(found, query.limit, lambda session: (session.created_at.isoformat(), str(session.id)))
    return {"items": [_to_response(session) for session in page], "next_cursor": next_cursor}


@api.delete("/<session_id>", responses={204: None})
@requires_login
def revoke_session(path: SessionPath) -> tuple[str, int]:
    """Revoke a session of yours

    Its tokens are rejected from the response on, and its WebSockets are closed. 404 if it has ended, or is not yours.
    """
    player_id = current_player_id()
    with db.transaction() as conn:
        if not sessions.revoke_own_session(conn, player_id, path.session_id):
            raise NotFound
        record(conn, "session.revoked", object_id=path.session_id, new={"reason": "logout"})
    publish_access_change(player_id)
    return "", 204


def _to_response(session: Session) -> dict[str, Any]:
    current = session.id == current_caller().session[1]
    return DeviceSessionResponse.model_validate(vars(session) | {"current": current}).model_dump(mode="json")


def _position(cursor: str) -> tuple[datetime, UUID]:
    at, session_id = decode_cursor(cursor, 2)
    try:
        created_at = datetime.fromisoformat(at)
        if created_at.tzinfo is None:
            raise InvalidCursor
        return created_at, UUID(session_id)
    except ValueError:
        raise InvalidCursor from None
