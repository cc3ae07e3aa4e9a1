"""Codes on a map, in PostgreSQL: the codes in its view, or counts per cell of a grid if there are many."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from shared.codes.filters import CodeFilter
from shared.infra.db import Conn

MAX_PLACES = 2_000
"""Codes that a map shows one by one."""
CELLS_PER_TILE = 4
"""In each direction. A tile shows 360 degrees at zoom 0, and half of that at each further zoom."""
MAX_CELLS_PER_SIDE = 40
PLACE_COLUMNS = ("id", "code", "latitude", "longitude", "radius_m", "scan_type", "active")
CELL_COLUMNS = ("latitude", "longitude", "codes")


@dataclass(frozen=True)
class MapView:
    """The view of a map, in degrees. `west` is greater than `east` if the date line is between them."""

    west: float
    south: float
    east: float
    north: float
    zoom: int

    @property
    def cell_degrees(self) -> float:
        """The side of a cell: a part of a tile, and large enough for at most MAX_CELLS_PER_SIDE in the view."""
        width = self.east - self.west + (360 if self.west > self.east else 0)
        side = max(width, self.north - self.south) / MAX_CELLS_PER_SIDE
        return max(360.0 / (1 << self.zoom) / CELLS_PER_TILE, side)

    def parameters(self) -> dict[str, float]:
        """Return the sides of the view, for statements."""
        return {"west": self.west, "south": self.south, "east": self.east, "north": self.north}


def list_places(conn: Conn, org_id: UUID, conditions: CodeFilter, view: MapView) -> Sequence[Sequence[Any]] | None:
    """Return the codes in the view as rows of PLACE_COLUMNS, in no order. None if there are more than MAX_PLACES."""
    params = conditions.parameters(org_id) | view.parameters() | {"limit": MAX_PLACES + 1}
    rows = conn.execute(
        """
        SELECT id::text, code, latitude, longitude, radius_m, scan_type, active
        FROM matching_codes(%(org_id)s, %(pattern)s, %(tag)s, %(scan_type)s, %(active)s)
        WHERE is_in_box(latitude, longitude, %(west)s, %(south)s, %(east)s, %(north)s)
        LIMIT %(limit)s
        """,
        params,
        prepare=False,
    ).fetchall()
    return rows if len(rows) <= MAX_PLACES else None


def list_cells(conn: Conn, org_id: UUID, conditions: CodeFilter, view: MapView) -> Sequence[Sequence[Any]]:
    """Return the cells of the view that have codes as rows of CELL_COLUMNS, in no order.

    The position of a cell is the mean of its codes. No cell contains both sides of the date line.
    """
    params = conditions.parameters(org_id) | view.parameters() | {"degrees": view.cell_degrees}
    return conn.execute(
        """
        SELECT round(avg(latitude)::numeric, 6)::double precision,
               round(avg(longitude)::numeric, 6)::double precision, count(*)
        FROM matching_codes(%(org_id)s, %(pattern)s, %(tag)s, %(scan_type)s, %(active)s)
        WHERE is_in_box(latitude, longitude, %(west)s, %(south)s, %(east)s, %(north)s)
        GROUP BY floor((latitude + 90) / %(degrees)s), floor((longitude + 180) / %(degrees)s)
        """,
        params,
        prepare=False,
    ).fetchall()
