"""Images rendered: every format against stock segno in the same process, which is one core. Nothing is cached.

The rival is what segno's manual shows, `make` and `save`. Both render the same 50 characters at level M, to the same
size, in alternating rounds. A figure is the median round. Time is the CPU time of the process, so other processes count
for neither side. Each of Waymark's images is decoded, outside the timing.
"""

import time
from collections.abc import Callable
from io import BytesIO
from statistics import median

import segno

from bench.table import Figure
from shared.images.image_spec import Format, ImageSpec
from shared.images.readback import is_readable
from shared.images.render import render

TEXT = "https://waymark.example/s/AbCdEfGhIjKl?from=poster"
MODULES = 41  # of which 8 are quiet zone
ROUNDS, SECONDS = 9, 0.25  # long enough for warm caches, short enough that both sides meet the same weather

CASES: tuple[tuple[Format, int, float], ...] = (("png", 410, 22), ("png", 2009, 40), ("svg", 410, 5), ("pdf", 410, 5))
"""Format, size and goal."""


def measure() -> list[Figure]:
    """Return the images per second of Waymark and of segno."""
    return [compare(ImageSpec(TEXT, kind, size), goal) for kind, size, goal in CASES]


def compare(picture: ImageSpec, goal: float) -> Figure:
    if not is_readable(picture, render(picture)):
        raise RuntimeError(f"cannot be read back: {picture}")
    ours, rival = in_turns(lambda: render(picture), lambda: by_segno(picture))
    name = f"{picture.format.upper()} of {picture.size}"
    return Figure(name, "per CPU second", 1 / ours, 1 / rival, "≥", goal)


def by_segno(picture: ImageSpec) -> bytes:
    written = BytesIO()
    scale = picture.size // MODULES
    segno.make(picture.text, error=picture.level, micro=False, boost_error=False).save(
        written, picture.format, scale=scale
    )
    return written.getvalue()


def in_turns(*sides: Callable[[], bytes]) -> list[float]:
    """CPU seconds a call takes on each side: the median of the rounds."""
    took: list[list[float]] = [[] for _ in sides]
    for _ in range(ROUNDS):
        for side, times in zip(sides, took, strict=True):
            times.append(seconds_a_call(side))
    return [median(times) for times in took]


def seconds_a_call(call: Callable[[], object]) -> float:
    calls, start = 0, time.process_time()
    while (elapsed := time.process_time() - start) < SECONDS:
        call()
        calls += 1
    return elapsed / calls


def show_older_backend() -> None:
    """Our CPU times beside those an older backend documents; on which machine it had them, it does not say."""
    picture = ImageSpec(TEXT)
    many = [ImageSpec(f"{TEXT}{n}") for n in range(50)]
    table: list[tuple[str, float, Callable[[], object]]] = [
        ("one PNG", 17.3, lambda: render(picture)),
        ("one SVG", 14.3, lambda: render(ImageSpec(TEXT, "svg"))),
        ("one PNG of 2000 px", 58.4, lambda: render(ImageSpec(TEXT, size=2000))),
        ("10 PNG, each", 13.9, lambda: [render(one) for one in many[:10]]),
        ("50 PNG, each", 17.9, lambda: [render(one) for one in many]),
        ("ETag", 0.006, picture.digest),
    ]
    print("\nBeside an older backend's documentation (another machine)")
    print(f"{'':20}{'ours, ms':>12}{'older, ms':>12}")
    for name, older, call in table:
        each = {"10": 10, "50": 50}.get(name[:2], 1)
        ours = median(seconds_a_call(call) for _ in range(5)) * 1000 / each
        print(f"{name:20}{ours:12.3f}{older:12.3f}")
    size = len(render(picture))
    print(f"{'size of one PNG':20}{size:6,d} bytes{'< 1 KB':>12}")
