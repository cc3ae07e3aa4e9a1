"""An application whose requests wait until a file `open` exists, and which counts how many run at a time.

`/hold` and `/crowd` wait for the file, and so does `/aside`, after it has released its permit. Other paths respond
immediately. The file `count` has the number of running requests, and the maximum.
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
