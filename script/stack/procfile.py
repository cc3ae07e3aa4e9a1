"""The Procfile: process types and the commands that run them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

LINE = re.compile(r"(?P<name>[A-Za-z0-9_-]+):\s*(?P<command>.+)")


def read_procfile(path: Path) -> dict[str, str]:
    """Commands by process type, in the order of the file."""
    processes: dict[str, str] = {}
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if not (match := LINE.fullmatch(line.strip())):
            raise ValueError(f"{path}, line {number}: expected 'name: command', found {line!r}")
        processes[match["name"]] = match["command"]
    return processes
