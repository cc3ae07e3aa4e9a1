"""Names of players over HTTP, for staff: live events carry ids only."""

from typing import Annotated, Any

from flask_openapi import APIBlueprint, Tag
from pydantic import ConfigDict, Field

from shared.infra import db
from shared.reviews import known_players
from web.http.auth import requires_role
from web.http.schemas import Body, Id, OrganizationPath, ResponseModel

api = APIBlueprint(
    "player_names", __name__, url_prefix="/api/organizations/<org_id>", abp_tags=[Tag(name="Organizations")]
)


class PlayerNamesBody(Body):
    """The players to name."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"ids": ["0197a6b0-0000-7000-8000-000000000000"]}]})

    ids: Annotated[list[Id], Field(min_length=1, max_length=200)] = Field(description="Ids of players")


class PlayerNameResponse(ResponseModel):
    player_id: Id
    username: str


class PlayerNamesResponse(ResponseModel):
    items: list[PlayerNameResponse]


@api.post("/players/names", responses={200: PlayerNamesResponse})
@requires_role("admin")
def list_player_names(path: OrganizationPath, body: PlayerNamesBody) -> dict[str, Any]:
    """Get the names of players

    Needs the role admin. Returns members, and players with a scan of the organization's codes. Other players are left
    out.
    """
    with db.connection() as conn:
        names = known_players.list_names(conn, path.org_id, body.ids)
    return PlayerNamesResponse.model_validate({"items": names}).model_dump(mode="json")
