"""Images: how fast they are rendered, and how fast they are served. `python -m bench images`."""

from bench import images_cache, images_drawing
from bench.stack import stack
from bench.table import show


def main() -> bool:
    """Run both and print their tables. Return whether every goal was met."""
    drawn = show("Images rendered", images_drawing.measure())
    images_drawing.show_older_backend()
    with stack(images_cache.seed) as where:
        served = show("Images served", images_cache.measure(where))
    return drawn and served
