"""The files beside this module."""

import json
from pathlib import Path

HERE = Path(__file__).parent


def payload(name: str) -> str:
    """Return a text, line ends as they are."""
    return (HERE / "payloads" / name).read_bytes().decode()


def payloads(name: str) -> list[str]:
    """Return the texts of a JSON file."""
    texts: list[str] = json.loads(payload(name))
    return texts


def logo(name: str) -> bytes:
    return (HERE / "logos" / name).read_bytes()
