"""Rotating codes over HTTP: the current image for staff, and the screens that show it without a login."""

from typing import Any
from uuid import UUID

from flask import Response, request
from flask_openapi import APIBlueprint, Tag
from pydantic import BaseModel, Field

from shared.analytics.timelines import timeline
from shared.analytics.unaggregated import RollupSubject
from shared.codes import screens
from shared.codes import store as codes
from shared.codes.screens import RotatingCode
from shared.errors import CodeDoesNotRotate, Gone, NotFound
from shared.images import store as images
from shared.images.code_url import rotating_code_url
from shared.images.plain_svg import render_plain_svg
from shared.images.store import CodeAppearance
from shared.infra import db
from shared.infra.db import Conn
from shared.infra.timestamps import format_rfc3339
from web.api.images import CURRENT_IMAGE, ImageQuery, current_step_response
from web.http.audit_log import record
from web.http.auth import public, requires_role
from web.http.idempotency import idempotent_secret, transaction
from web.http.pagination import PageQuery, decode_id, paginate
from web.http.schemas import Body, CodePath, Id, Name, OrganizationPath, ResponseModel, Timestamp
from web.http.settings import current_settings

ORGANIZATION = "/api/organizations/<org_id>"
CODE = f"{ORGANIZATION}/qr-codes/<qr_id>"
CODE_EXAMPLE = "/api/organizations/0197a6b0-0000-7000-8000-000000000003/qr-codes/0197a6b0-0000-7000-8000-000000000002"
TOKEN_EXAMPLE = "x3h0rUWYqLzXb0tMZ7mJQ3kq1v2c4d5e6f7g8h9i0j1"  # noqa: S105 - an example

api = APIBlueprint("screens", __name__, abp_tags=[Tag(name="Screens")])


class ScreenPath(CodePath):
    screen_id: Id = Field(description="Id of the screen")


class ScreenTokenPath(BaseModel):
    """The path of a screen."""

    token: str = Field(description="The secret of the screen's link", examples=[TOKEN_EXAMPLE])


class ScreenBody(Body):
    """A new screen."""

    name: Name = Field(description="Where the screen is", examples=["Entrance"])


class RotatingCodeResponse(ResponseModel):
    """The current step of a rotating code."""

    text: str = Field(
        description="The URL that the image encodes",
        examples=["https://play.example/s/spy123?t=56666667.q7Yx0uVb3mKzT1aP"],
    )
    image_url: str = Field(
        description="Path of the image of the current step", examples=[f"{CODE_EXAMPLE}/rotating/image"]
    )
    seconds_left: int = Field(description="Seconds until the next step, rounded up", ge=1, examples=[17])


class ScreenResponse(ResponseModel):
    """A link that shows a rotating code on a screen without a login."""

    id: Id = Field(description="Id of the screen")
    name: str = Field(description="Where the screen is", examples=["Entrance"])
    qr_id: Id = Field(description="Id of the code that it shows")
    code: str = Field(description="Text of the code that it shows", examples=["spy123"])
    created_at: Timestamp = Field(description="Time of creation")
    last_seen_at: Timestamp | None = Field(description="When it was open last, to the minute; null: never")


class NewScreenResponse(ScreenResponse):
    url: str = Field(
        description="Path of the screen. It contains the secret, and is shown only once",
        examples=[f"/screen/{TOKEN_EXAMPLE}"],
    )
    qr_svg: str = Field(
        description="A QR code of the address, for the camera of the device that shows the code, as an SVG image",
        examples=["<svg xmlns=…>…</svg>"],
    )


class ScreensResponse(ResponseModel):
    items: list[ScreenResponse] = Field(description="A page of screens")
    next_cursor: str | None = Field(description="Cursor of the next page; null at the end")


class ScreenStateResponse(ResponseModel):
    """What a screen shows now."""

    image_url: str = Field(
        description="Path of the image of the current step", examples=[f"/screen/{TOKEN_EXAMPLE}/image"]
    )
    seconds_left: int = Field(description="Seconds until the next step, rounded up", ge=1, examples=[17])
    description: str = Field(description="Where the code is, or what it is for", examples=["Behind the statue"])
    scans_today: int = Field(description="Successful scans of the code since midnight UTC", examples=[42])
    server_time: Timestamp = Field(description="Time of the service, which the steps follow")
    rotation_seconds: int = Field(description="Seconds for which one image is shown", examples=[30])


@api.get(f"{CODE}/rotating", responses={200: RotatingCodeResponse, 409: None, 410: None})
@requires_role("admin")
def get_rotating_code(path: CodePath) -> dict[str, Any]:
    """Get the current step of a rotating code

    Needs the role admin. Ask again after `seconds_left`. 409 if the code does not rotate. 410 if it has expired.
    """
    with db.connection() as conn:
        code = _find(conn, path)
    return {
        "text": rotating_code_url(code.code, code.step_mac),
        "image_url": f"/api/organizations/{path.org_id}/qr-codes/{path.qr_id}/rotating/image",
        "seconds_left": code.seconds_left,
    }


@api.get(f"{CODE}/rotating/image", responses={200: CURRENT_IMAGE, 409: None, 410: None})
@requires_role("admin")
def get_rotating_image(path: CodePath, query: ImageQuery) -> Response:
    """Get the image of the current step of a rotating code

    Needs the role admin. Always the current one: it is not cached, and no step is available in advance.
    """
    with db.connection() as conn:
        code, appearance = _find(conn, path), images.find_appearance(conn, path.org_id, path.qr_id)
    return _image(code, appearance, query)


@api.post(f"{CODE}/screens", responses={201: NewScreenResponse, 409: None})
@requires_role("admin")
@idempotent_secret
def create_screen(path: CodePath, body: ScreenBody) -> tuple[dict[str, Any], int]:
    """Create a screen of a rotating code

    Needs the role admin. Any browser that opens `url` shows the code, without a login, until the screen is revoked.
    Only this response contains it. 409 if the code does not rotate, or has 20 screens.
    """
    token = screens.new_token()
    with transaction() as conn:
        codes.lock(conn, path.org_id, path.qr_id)
        _find(conn, path)
        screen = screens.add(conn, path.org_id, path.qr_id, body.name, token)
        new = {"name": screen.name, "qr_id": str(path.qr_id)}
        record(conn, "screen.created", org_id=path.org_id, object_id=screen.id, new=new)
    url = f"/screen/{token}"
    base = current_settings().public_url or request.host_url.rstrip("/")
    secret = {"url": url, "qr_svg": render_plain_svg(base + url)}
    return ScreenResponse.model_validate(screen).model_dump(mode="json") | secret, 201


@api.get(f"{CODE}/screens", responses={200: ScreensResponse})
@requires_role("admin")
def list_screens(path: CodePath, query: PageQuery) -> dict[str, Any]:
    """List the screens of a rotating code

    Needs the role admin. Newest first, without revoked ones.
    """
    with db.connection() as conn:
        if codes.find(conn, path.org_id, path.qr_id) is None:
            raise NotFound
        return _list(conn, path.org_id, path.qr_id, query)


@api.get(f"{ORGANIZATION}/screens", responses={200: ScreensResponse})
@requires_role("admin")
def list_screens_of_organization(path: OrganizationPath, query: PageQuery) -> dict[str, Any]:
    """List the screens of all rotating codes

    Needs the role admin. Newest first, without revoked ones and those of deleted codes.
    """
    with db.connection() as conn:
        return _list(conn, path.org_id, None, query)


@api.delete(f"{CODE}/screens/<screen_id>", responses={204: None})
@requires_role("admin")
def revoke_screen(path: ScreenPath) -> tuple[str, int]:
    """Revoke a screen

    Needs the role admin. Its link is 404 from then on.
    """
    with db.transaction() as conn:
        name = screens.revoke(conn, path.org_id, path.qr_id, path.screen_id)
        if name is None:
            raise NotFound
        old = {"name": name, "qr_id": str(path.qr_id)}
        record(conn, "screen.revoked", org_id=path.org_id, object_id=path.screen_id, old=old)
    return "", 204


@api.get("/screen/<token>/state", responses={200: ScreenStateResponse, 410: None})
@public
def get_screen_state(path: ScreenTokenPath) -> dict[str, Any]:
    """Get what a screen shows

    For any client that has the link. Ask again after `seconds_left`. 404 if the screen is unknown or was revoked, or
    if its code does not rotate. 410 if its code has expired or was deleted.
    """
    with db.connection() as conn:
        code = screens.open_screen(conn, path.token)
        days = timeline(conn, RollupSubject(code.id, code.org_id), "7d", "UTC", code.now)
    *_, (_date, _count, success, _players, _visits) = days
    return {
        "image_url": f"/screen/{path.token}/image",
        "seconds_left": code.seconds_left,
        "description": code.description,
        "scans_today": success,
        "server_time": format_rfc3339(code.now),
        "rotation_seconds": code.rotation.seconds,
    }


@api.get("/screen/<token>/image", responses={200: CURRENT_IMAGE, 410: None})
@public
def get_screen_image(path: ScreenTokenPath, query: ImageQuery) -> Response:
    """Get the image that a screen shows

    For any client that has the link. Always the image of the current step. 404 and 410 as for the state.
    """
    with db.connection() as conn:
        code = screens.open_screen(conn, path.token)
        appearance = images.find_appearance(conn, code.org_id, code.id)
    return _image(code, appearance, query)


def _find(conn: Conn, path: CodePath) -> RotatingCode:
    """Return the rotating code of the path. Raise NotFound, CodeDoesNotRotate, or Gone if it has expired."""
    if codes.find(conn, path.org_id, path.qr_id) is None:
        raise NotFound
    code = screens.find(conn, path.org_id, path.qr_id)
    if code is None:
        raise CodeDoesNotRotate
    if code.is_over:
        raise Gone
    return code


def _list(conn: Conn, org_id: UUID, qr_id: UUID | None, query: PageQuery) -> dict[str, Any]:
    before = decode_id(query.cursor)
    found = screens.list_page(conn, org_id, qr_id, limit=query.limit + 1, before=before)
    page, next_cursor = paginate(found, query.limit, lambda screen: (str(screen.id),))
    items = [ScreenResponse.model_validate(screen).model_dump(mode="json") for screen in page]
    return {"items": items, "next_cursor": next_cursor}


def _image(code: RotatingCode, appearance: CodeAppearance | None, query: ImageQuery) -> Response:
    url = rotating_code_url(code.code, code.step_mac)
    # Deleted meanwhile.
    if appearance is None:
        raise NotFound
    return current_step_response(appearance, url, code.id, code.org_id, query)
