"""An invitation: what it offers, as JSON for clients, and as the page on which a player accepts or declines it."""

from typing import Any

from flask import Response, request
from flask_openapi import APIBlueprint, Tag

from shared.errors import InvitationEnded, NotFound
from shared.infra import db
from shared.organizations import invitations
from shared.organizations.rules import ROLES, includes_role
from web.api.received_invitations import OfferResponse, TokenPath
from web.http.auth import page_public
from web.http.request_context import takes_any_query
from web.http.settings import current_settings
from web.pages.layout import current_account, render_page

api = APIBlueprint("invitation_pages", __name__, abp_tags=[Tag(name="Organizations")])


@api.get("/invitations/<token>", responses={200: OfferResponse, 404: None, 410: None})
@page_public
@takes_any_query
def get_invitation(path: TokenPath) -> dict[str, Any] | Response:
    """Get an invitation

    Returns what it offers. `token` is the secret of a link, or the id of an invitation by username. 410 if it was used
    up, declined or revoked, or has expired. A browser, which accepts text/html, gets a page.
    """
    with db.connection() as conn:
        invitation = invitations.find(conn, path.token)
    is_open = invitation is not None and invitation.is_open
    if (
        current_settings().pages
        and request.accept_mimetypes.best_match(("application/json", "text/html")) == "text/html"
    ):
        return render_page(
            "accounts/invitation.html",
            200 if is_open else 404 if invitation is None else 410,
            modules=("pages/invitation.js",) if is_open else (),
            invitation=invitation if is_open else None,
            included=[role for role in ROLES if invitation is not None and includes_role(invitation.role, role)],
            token=path.token,
            visitor=current_account(),
        )
    if invitation is None:
        raise NotFound
    if not is_open:
        raise InvitationEnded
    return OfferResponse.model_validate(invitation).model_dump(mode="json")
