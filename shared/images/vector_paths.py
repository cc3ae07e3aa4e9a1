"""Modules as paths of lines and Bézier curves, for vector formats. Coordinates are modules; y grows downward."""

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shared.images.shapes import BOTTOM_LEFT, BOTTOM_RIGHT, DOT, TOP_LEFT, TOP_RIGHT, Corners
from shared.images.symbol import Modules

Point = tuple[float, float]

SIDES: tuple[Point, ...] = ((0.5, 0), (1, 0.5), (0.5, 1), (0, 0.5))
TIPS: tuple[tuple[int, Point], ...] = (
    (TOP_RIGHT, (1, 0)),
    (BOTTOM_RIGHT, (1, 1)),
    (BOTTOM_LEFT, (0, 1)),
    (TOP_LEFT, (0, 0)),
)
"""Middles of a module's sides, clockwise from the top, and the corner that follows each."""

KAPPA = 0.5523
"""Length of a Bézier handle, relative to the radius, that approximates a quarter of a circle."""


def rows(dark: Modules, template: str) -> str:
    """Return the template once per horizontal run of dark modules, filled with x, y and length of the run."""
    edges = np.diff(np.pad(dark, ((0, 0), (1, 1))).view(np.int8), axis=1)
    y, start = np.nonzero(edges == 1)
    end = np.nonzero(edges == -1)[1]
    return _fill(template, np.stack((start, y, end - start), axis=1))


def outlines(dark: Modules) -> str:
    """Return the outlines of all dark areas and of the holes in them, as a path of SVG for the even-odd rule.

    Where the areas touch in one point, it is a corner of both.
    """
    cells = np.pad(dark, 1).view(np.uint8)
    above, below = cells[:-1], cells[1:]
    # Around each point of the grid are four modules. An odd number of dark ones makes a corner, and two that touch in
    # the point make two.
    quarters = above[:, :-1] + above[:, 1:] + below[:, :-1] + below[:, 1:]
    crossing = (quarters == 2) & (above[:, :-1] == below[:, 1:])
    grid_y, grid_x = np.nonzero((quarters & 1) | crossing)
    copies = 1 + crossing[grid_y, grid_x]
    ys, xs = np.repeat(grid_y, copies), np.repeat(grid_x, copies)
    # Corners are in the order of rows. In each row, the first is joined with the second, the third with the fourth, and
    # so on: corner n with n ^ 1. The same holds for columns.
    columns = np.argsort(xs, kind="stable")
    joined = np.empty_like(columns)
    joined[columns] = columns.reshape(-1, 2)[:, ::-1].ravel()
    return _follow(xs.tolist(), ys.tolist(), joined.tolist())


def _follow(xs: list[int], ys: list[int], joined: list[int]) -> str:
    """Return the path that follows each outline, alternately along a row and along a column."""
    templates: list[str] = []
    numbers: list[int] = []
    is_open = [True] * len(xs)
    for start in range(0, len(xs), 2):
        if not is_open[start]:
            continue
        at, lines = start, 0
        numbers.append(xs[at])
        while lines == 0 or at != start:
            is_open[at] = is_open[at ^ 1] = False
            numbers += ys[at], xs[at ^ 1]
            at = joined[at ^ 1]
            lines += 1
        templates.append("M%d %dH%d" + "V%dH%d" * (lines - 1) + "Z")
    return "".join(templates) % tuple(numbers)


class PathSyntax(NamedTuple):
    """The path commands of a format, each with its points, x before y."""

    move: str
    line: str
    curve: str
    close: str


SVG = PathSyntax("M%g %g", "L%g %g", "C%g %g %g %g %g %g", "Z")
PDF = PathSyntax("%g %g m ", "%g %g l ", "%g %g %g %g %g %g c ", "h\n")


def path(dark: Modules, corners: Corners, syntax: PathSyntax) -> str:
    """Return the outlines of all dark modules. The symbol's upper left corner is the origin."""
    parts: list[str] = []
    for shape in range(DOT + 1):
        ys, xs = np.nonzero(dark & (corners == shape))
        template, points = _outline(shape, syntax)
        # Axes: module, point, x and y.
        parts.append(_fill(template, np.stack((xs, ys), axis=1)[:, None, :] + points))
    return "".join(parts)


def _fill(template: str, numbers: NDArray[np.integer | np.floating]) -> str:
    """Return the template once per item along the first axis, by one formatting operation."""
    return template * len(numbers) % tuple(numbers.ravel().tolist())


@cache
def _outline(shape: int, syntax: PathSyntax) -> tuple[str, NDArray[np.float64]]:
    """Return commands and points (n x 2) of a module at the origin, clockwise from the middle of its top."""
    commands, points = [syntax.move], [SIDES[0]]
    for (corner, tip), before, after in zip(TIPS, SIDES, (*SIDES[1:], SIDES[0]), strict=True):
        if shape & corner:
            commands.append(syntax.curve)
            points += [_towards(tip, before), _towards(tip, after), after]
        else:
            commands += [syntax.line, syntax.line]
            points += [tip, after]
    return "".join((*commands, syntax.close)), np.array(points)


def _towards(tip: Point, side: Point) -> Point:
    """Return the Bézier handle between this corner and the middle of this side."""
    return tip[0] + (side[0] - tip[0]) * (1 - KAPPA), tip[1] + (side[1] - tip[1]) * (1 - KAPPA)
