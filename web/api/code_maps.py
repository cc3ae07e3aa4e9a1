"""Codes for maps over HTTP: the codes in a view, or counts per cell."""

import re
from typing import Annotated, Any, Literal

from flask import Response
from flask_openapi import APIBlueprint, Tag
from pydantic import AfterValidator, Field, WithJsonSchema

from shared.codes import places
from shared.codes.places import MapView
from shared.infra import db
from web.api.codes import CodeFilterQuery
from web.http.auth import requires_role
from web.http.compression import compress
from web.http.responses import json_response
from web.http.schemas import OrganizationPath, ResponseModel

api = APIBlueprint(
    "code_maps", __name__, url_prefix="/api/organizations/<org_id>/qr-codes", abp_tags=[Tag(name="QR codes")]
)

DEGREES = re.compile(r"[+-]?[0-9]{1,3}(\.[0-9]{1,20})?")


def _box(text: str) -> str:
    parts = text.split(",")
    if len(parts) != 4 or not all(DEGREES.fullmatch(part) for part in parts):
        raise ValueError("Use four numbers with commas between: west,south,east,north.")
    west, south, east, north = map(float, parts)
    if not (-180 <= west <= 180 and -180 <= east <= 180):
        raise ValueError("Use -180 to 180 for west and east. Across the date line, west is greater than east.")
    if not -90 <= south <= north <= 90:
        raise ValueError("Use -90 to 90 for south and north, with south at most north.")
    return text


class PlacesQuery(CodeFilterQuery):
    bbox: Annotated[str, AfterValidator(_box), WithJsonSchema({"type": "string"})] = Field(
        description="The view in degrees: west,south,east,north. West is greater than east across the date line",
        examples=["4.8,52.3,5.0,52.4"],
    )
    zoom: int = Field(ge=0, le=22, description="Zoom of the map. Decides the size of cells", examples=[12])

    def to_view(self) -> MapView:
        west, south, east, north = map(float, self.bbox.split(","))
        return MapView(west, south, east, north, self.zoom)


class PlacesResponse(ResponseModel):
    """Rows of codes, or of cells if more than 2,000 codes are in the view."""

    kind: Literal["codes", "cells"] = Field(description="What a row is", examples=["codes"])
    columns: list[str] = Field(
        description="Of codes: id, code, latitude, longitude, radius_m, scan_type, active. "
        "Of cells: latitude and longitude of their center of mass, and the number of codes",
        examples=[list(places.PLACE_COLUMNS)],
    )
    rows: list[list[Any]] = Field(
        description="The values of the columns",
        examples=[[["0197a6b0-0000-7000-8000-000000000002", "spy123", 52.3731, 4.8926, 50.0, "item_drop", True]]],
    )


@api.get("/places", responses={200: PlacesResponse})
@requires_role("member", scope="codes:read")
def list_places(path: OrganizationPath, query: PlacesQuery) -> Response:
    """List the places of codes for a map

    Needs the role member. The codes in the view that match the filters of the list. If there are more than 2,000, the
    rows are cells of a grid with the number of codes in each.
    """
    conditions, view = query.to_filter(), query.to_view()
    with db.connection() as conn:
        codes = places.list_places(conn, path.org_id, conditions, view)
        if codes is not None:
            response = json_response({"kind": "codes", "columns": places.PLACE_COLUMNS, "rows": codes})
        else:
            cells = places.list_cells(conn, path.org_id, conditions, view)
            response = json_response({"kind": "cells", "columns": places.CELL_COLUMNS, "rows": cells})
    compress(response)
    return response
