"""Clients that scan until they are stopped."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count

from tests.system.load import Game, Load


@contextmanager
def scanning(load: Load, game: Game) -> Iterator[None]:
    """Submit scans from several threads until the context ends."""
    stopping, seeds = threading.Event(), count(1)

    def scan_on() -> None:
        while not stopping.is_set():
            for scan in game.scans(10, next(seeds)):
                load.hand_in(scan)

    with ThreadPoolExecutor(load.threads) as pool:
        threads = [pool.submit(scan_on) for _ in range(load.threads)]
        try:
            yield
        finally:
            stopping.set()
            for thread in threads:
                thread.result(90)
