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

from bench.table import Figure, Round
from shared.images.image_spec import Format, ImageSpec
from shared.images.readback import is_readable
from shared.images.render import render

TEXT = "https://waymark.example/s/AbCdEfGhIjKl?from=poster"
# Eight of them are quiet zone.
MODULES = 41
# Long enough for warm caches, and short enough that both sides meet the same load.
ROUNDS, SECONDS = 9, 0.25

CASES: tuple[tuple[Format, int, float], ...] = (("png", 410, 22), ("png", 2009, 40), ("svg", 410, 5), ("pdf", 410, 5))
"""Format, size and goal."""


def measure(scale: float) -> list[Figure]:
    """Return the images per second of Waymark and of segno."""
    return [compare(ImageSpec(TEXT, kind, size), goal, SECONDS * scale) for kind, size, goal in CASES]


def compare(spec: ImageSpec, goal: float, seconds: float) -> Figure:
    if not is_readable(spec, render(spec)):
        raise RuntimeError(f"not readable: {spec}")
    rounds = alternate(lambda: render(spec), lambda: by_segno(spec), seconds)
    name = f"{spec.format.upper()} of {spec.size}"
    return Figure.of_rounds(name, "per CPU second", rounds, "≥", goal)


def by_segno(spec: ImageSpec) -> bytes:
    output = BytesIO()
    scale = spec.size // MODULES
    segno.make(spec.text, error=spec.level, micro=False, boost_error=False).save(output, spec.format, scale=scale)
    return output.getvalue()


def alternate(waymark: Callable[[], object], rival: Callable[[], object], seconds: float) -> list[Round]:
    """Return the calls per CPU second of each side in each round."""
    return [(1 / seconds_per_call(waymark, seconds), 1 / seconds_per_call(rival, seconds)) for _ in range(ROUNDS)]


def seconds_per_call(call: Callable[[], object], seconds: float) -> float:
    """Call for this many CPU seconds, at least once. Return the CPU seconds of one call."""
    calls, start = 0, time.process_time()
    while (elapsed := time.process_time() - start) < seconds or not calls:
        call()
        calls += 1
    return elapsed / calls


def show_older_backend() -> None:
    """Print the CPU times beside those that an older backend documents, for an unknown machine."""
    spec = ImageSpec(TEXT)
    many = [ImageSpec(f"{TEXT}{n}") for n in range(50)]
    table: list[tuple[str, float, Callable[[], object]]] = [
        ("a PNG", 17.3, lambda: render(spec)),
        ("an SVG", 14.3, lambda: render(ImageSpec(TEXT, "svg"))),
        ("a PNG of 2000 px", 58.4, lambda: render(ImageSpec(TEXT, size=2000))),
        ("10 PNG, each", 13.9, lambda: [render(spec) for spec in many[:10]]),
        ("50 PNG, each", 17.9, lambda: [render(spec) for spec in many]),
        ("ETag", 0.006, spec.digest),
    ]
    print("\nBeside an older backend's documentation (another machine)")
    print(f"{'':20}{'Waymark, ms':>12}{'older, ms':>12}")
    for name, older, call in table:
        count = {"10": 10, "50": 50}.get(name[:2], 1)
        waymark = median(seconds_per_call(call, SECONDS / 2) for _ in range(3)) * 1000 / count
        print(f"{name:20}{waymark:12.3f}{older:12.3f}")
    size = len(render(spec))
    print(f"{'size of a PNG':20}{size:6,d} bytes{'< 1 KB':>12}")
