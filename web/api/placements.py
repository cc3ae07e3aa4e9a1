"""Placements over HTTP: the place of a code from location fixes of the phone that is used to install it."""

from dataclasses import replace
from typing import Annotated, Any

from flask_openapi import APIBlueprint, Tag
from pydantic import ConfigDict, Field

from shared.codes.placement import LocationFix, locate, widen
from shared.codes.store import StoredCode
from web.api.codes import CODE_EXAMPLE, CodeResponse, change_code
from web.http.auth import requires_role
from web.http.schemas import Body, CodePath, FiniteFloat, Latitude, Longitude, StrictBool

api = APIBlueprint(
    "placements",
    __name__,
    url_prefix="/api/organizations/<org_id>/qr-codes/<code_id:qr_id>/place",
    abp_tags=[Tag(name="QR codes")],
)


class LocationFixBody(Body):
    """A position that the phone reported."""

    latitude: Latitude
    longitude: Longitude
    accuracy: Annotated[FiniteFloat, Field(ge=0, le=1_000_000)] = Field(
        description="Radius in meters that contains the phone with 68 % confidence"
    )


class PlacementBody(Body):
    """Location fixes at the code, and what to set besides its place."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"fixes": [{"latitude": 52.3731, "longitude": 4.8926, "accuracy": 8.5}], "radius_m": 30}]
        }
    )

    fixes: Annotated[list[LocationFixBody], Field(min_length=1, max_length=100)] = Field(
        description="Several within a minute are more accurate than one"
    )
    radius_m: Annotated[FiniteFloat, Field(ge=5, le=50_000)] | None = Field(
        None, description="The smallest radius; null: the code's own. It becomes at least twice the accuracy"
    )
    activate: StrictBool = Field(True, description="Make the code active")
    requires_location: StrictBool = Field(True, description="Scans of the code need to be within its radius")


class PlacedCodeResponse(CodeResponse):
    """A code at its new place."""

    model_config = ConfigDict(json_schema_extra={"examples": [CODE_EXAMPLE | {"accuracy_m": 8.5}]})

    accuracy_m: float = Field(description="How accurate the new place is, in meters")


@api.post("", responses={200: PlacedCodeResponse})
@requires_role("admin", scope="codes:write")
def place_code(path: CodePath, body: PlacementBody) -> dict[str, Any]:
    """Set the place of a code from location fixes

    Needs the role admin. The place is the median of the fixes, so that a few wrong ones do not matter. The radius
    becomes at least twice its accuracy, which follows from the fixes' own accuracy and their spread. The code requires
    presence and becomes active, unless the body declines it. Scans from before its first placement fail.
    """
    position = locate([LocationFix(fix.latitude, fix.longitude, fix.accuracy) for fix in body.fixes])

    def place(code: StoredCode) -> StoredCode:
        return replace(
            code,
            latitude=position.latitude,
            longitude=position.longitude,
            radius_m=widen(body.radius_m or code.radius_m, position.accuracy),
            requires_location=body.requires_location,
            active=code.active or body.activate,
        )

    return change_code(path, "code.placed", place) | {"accuracy_m": position.accuracy}
