"""An application whose requests go on once a file `open` exists in its directory, and which writes down how many of
them run, and ran at most.

`/hold` and `/crowd` wait for that, `/aside` does after it has stepped aside; all else is answered at once.
"""

import os
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from shared.infra.concurrency import SERIALIZED_ROUTES, release_permit


class Gated:
    def __init__(self) -> None:
        self.extensions = {SERIALIZED_ROUTES: {("POST", "/crowd")}}
        self._directory = Path(os.environ["GATED_DIR"])
        self._lock = threading.Lock()
        self._running = self._most = 0

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/aside":
            release_permit()
        if path in ("/hold", "/crowd", "/aside"):
            self._count(1)
            while not (self._directory / "open").exists():
                time.sleep(0.02)
            self._count(-1)
        start("200 OK", [("Content-Length", "0")])
        return []

    def _count(self, more: int) -> None:
        with self._lock:
            self._running += more
            self._most = max(self._most, self._running)
            (self._directory / "new").write_text(f"{self._running} {self._most}")
            (self._directory / "new").rename(self._directory / "count")
