"""What a check found."""

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warning", "fault"]


@dataclass(frozen=True)
class Finding:
    """The state of one part of a component. A fault or a warning has a remedy."""

    component: str
    state: State
    message: str
    remedy: str | None = None


def ok(component: str, message: str) -> Finding:
    return Finding(component, "ok", message)


def warning(component: str, message: str, remedy: str) -> Finding:
    return Finding(component, "warning", message, remedy)


def fault(component: str, message: str, remedy: str) -> Finding:
    return Finding(component, "fault", message, remedy)
