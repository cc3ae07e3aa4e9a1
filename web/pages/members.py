"""The members of an organization, and their open invitations."""

from flask import Flask, Response, request

from shared.infra import db
from shared.organizations import invitations, members
from shared.organizations.rules import MAX_OPEN_INVITATIONS, ROLES, can_invite
from web.http.auth import current_organization, current_player_id, page_requires_role
from web.http.pagination import decode_id, paginate
from web.http.request_context import takes_any_query
from web.pages.staff import render_staff_page, sees

PAGE = 100


def init_app(app: Flask) -> None:
    """Register the pages."""
    app.add_url_rule("/o/<slug>/members", "staff.open_members", open_members)


@page_requires_role("member")
@takes_any_query
def open_members() -> Response:
    """Show the members. Admins also see the open invitations, and invite."""
    organization = current_organization()
    after = decode_id(request.args.get("cursor"))
    with db.connection() as conn:
        found = members.list_members(conn, organization.id, limit=PAGE + 1, after=after)
        owners = members.count_owners(conn, organization.id)
        pending = (
            invitations.list_for_organization(conn, organization.id, limit=MAX_OPEN_INVITATIONS)
            if sees("admin")
            else []
        )
    page, cursor = paginate(found, PAGE, lambda member: (str(member.player_id),))
    return render_staff_page(
        "organizations/members.html",
        active="members",
        kind="preview",
        modules=("pages/members.js",),
        members=page,
        next_path=cursor and f"?cursor={cursor}",
        me=current_player_id(),
        is_last_owner=owners == 1,
        invitations=pending,
        offered=[role for role in ROLES if can_invite(organization.role, role)],
        can_revoke=lambda role: can_invite(organization.role, role),
    )
