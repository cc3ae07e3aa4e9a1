"""The business code of an organization: redirect to its website, or show a page with its name."""

from flask import Response, request, url_for
from flask_openapi import APIBlueprint, Tag
from pydantic import BaseModel, Field

from shared.codes.target_urls import leads_to_code
from shared.errors import SlugDeleted
from shared.infra import db
from shared.organizations import slugs, store
from web.http.auth import page_public
from web.http.request_context import takes_any_query
from web.pages.layout import html_response, render_page
from web.pages.redirects import Redirect

api = APIBlueprint("organization_pages", __name__, url_prefix="/b", abp_tags=[Tag(name="Pages")])


class SlugPath(BaseModel):
    """The path of an organization's page."""

    slug: str = Field(examples=["city-museum"])


@api.get(
    "/<slug>",
    strict_slashes=False,
    responses={
        200: html_response("A page with the name of an organization without a url", "City Museum"),
        302: {"description": "Redirect to the url of the organization, or from an old slug to the current one"},
        404: html_response("A page for an unknown slug", "Not found"),
        410: html_response("A page for a deleted alias, or an organization that was closed", "No longer in use"),
    },
)
@page_public
@takes_any_query
def open_organization(path: SlugPath) -> Response:
    """Open an organization's page

    The business code of an organization leads here, also by a slug that it had before. Redirects to its `url`, or shows
    a page with its name.
    """
    try:
        with db.connection() as conn:
            current_slug = slugs.find_current(conn, path.slug)
            organization = store.get_public(conn, path.slug) if current_slug == path.slug else None
    except SlugDeleted:
        return render_page("deleted.html", 410)
    if current_slug is None:
        return render_page("not_found.html", 404)
    if organization is None:
        location = url_for("organization_pages.open_organization", slug=current_slug)
        return Response(status=302, headers={"Location": location})
    if organization.is_closed:
        return render_page("gone.html", 410)
    if organization.url is not None and not leads_to_code(organization.url, (request.host_url,)):
        return Redirect(organization.url)
    return render_page("organization.html", name=organization.name)
