"""The fair-play rules of an organization, as requests and responses contain them."""

from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from shared.scans.fair_play import MAX_WINDOW_SECONDS
from web.http.schemas import Body, ResponseModel, StrictBool, WholeNumber

WindowSeconds = Annotated[int, WholeNumber(1, MAX_WINDOW_SECONDS), Field(description="Up to 30 days")]


class IdenticalCoordinatesBody(Body):
    """Hold a scan if at least `players` players, within the window, submitted exactly the same coordinates."""

    window_seconds: WindowSeconds
    players: Annotated[int, WholeNumber(2, 1_000)] = 2
    api_keys: StrictBool = Field(
        False,
        description="Compare scans that API keys submitted, with each other. A kiosk that never moves needs false",
    )


class BurstBody(Body):
    """Hold a scan if the window has `per_player` other scans of its player, or `per_code` of its code.

    At least one of the two is required.
    """

    window_seconds: WindowSeconds
    per_player: Annotated[int, WholeNumber(1, 100_000)] | None = None
    per_code: Annotated[int, WholeNumber(1, 100_000)] | None = None

    @model_validator(mode="after")
    def _requires_a_limit(self) -> Self:
        if self.per_player is None and self.per_code is None:
            raise ValueError("Give per_player or per_code.")
        return self


class LateBody(Body):
    """Hold a scan that arrives later than this after its own time."""

    after_seconds: Annotated[int, WholeNumber(60, 90 * 86_400)]


class FairPlayBody(Body):
    """Rules that hold scans for review. They replace the current rules. A null turns a rule off."""

    identical_coordinates: IdenticalCoordinatesBody | None = None
    burst: BurstBody | None = None
    late: LateBody | None = None


class IdenticalCoordinatesResponse(ResponseModel):
    window_seconds: int
    players: int
    api_keys: bool = False


class BurstResponse(ResponseModel):
    window_seconds: int
    per_player: int | None
    per_code: int | None


class LateResponse(ResponseModel):
    after_seconds: int


class FairPlayResponse(ResponseModel):
    identical_coordinates: IdenticalCoordinatesResponse | None = None
    burst: BurstResponse | None = None
    late: LateResponse | None = None


def active_rules(fair_play: FairPlayBody | None) -> dict[str, Any] | None:
    """Return the rules to store, or None if all are off: judging reads only organizations with rules."""
    rules = fair_play.model_dump() if fair_play else {}
    return rules if any(rules.values()) else None
