"""Images: how fast they are rendered, and how fast they are served. `python -m bench images`."""

from bench import images_cache, images_drawing
from bench.stack import stack
from bench.table import Table


def main(scale: float = 1.0) -> list[Table]:
    """Run both and return their tables."""
    drawn = Table("Images rendered", images_drawing.measure(scale))
    images_drawing.show_older_backend()
    with stack(images_cache.seed) as where:
        served = Table("Images served", images_cache.measure(where, scale))
    return [drawn, served]
