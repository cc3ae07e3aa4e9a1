"""Waymark's web process with two more paths: metrics do nothing after a request to OFF, until one to ON.

Two processes with the same code differ by up to 3 % of CPU time. One process is compared with itself.
"""

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any

from flask import Flask

from shared.infra import metrics
from shared.infra.metrics import Counter, Gauge, Histogram, observe_all
from web.app import create_app as create_web
from web.http import request_metrics

ON, OFF = "/bench/metrics-on", "/bench/metrics-off"
Hooks = dict[Any, list[Callable[..., Any]]]


def create_app() -> Flask:
    """Return the application with the switch. No other request may run while it is used."""
    app = create_web()
    measured, switch = app.wsgi_app, Switch(app)

    def switchable(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] not in (ON, OFF):
            return measured(environ, start_response)
        switch.turn(is_on=environ["PATH_INFO"] == ON)
        start_response("200 OK", [("Content-Length", "0")])
        return []

    app.wsgi_app = switchable  # type: ignore[method-assign]
    return app


class Switch:
    """Replaces the methods of all metrics, and removes the hooks that measure requests."""

    def __init__(self, app: Flask) -> None:
        replaced: dict[str, Callable[..., Any]] = {"labels": itself, "track_inprogress": no_context, "time": no_context}
        replaced |= dict.fromkeys(("inc", "dec", "set", "set_to_current_time", "observe"), nothing)
        self._off = {(kind, name): replaced[name] for kind in (Counter, Gauge, Histogram) for name in replaced}
        self._on = {(kind, name): getattr(kind, name, None) for kind, name in self._off}
        self._hooks: list[Hooks] = [app.before_request_funcs, app.after_request_funcs, app.teardown_request_funcs]
        self._all = [dict(hooks) for hooks in self._hooks]

    def turn(self, *, is_on: bool) -> None:
        metrics.flush()
        recording: Callable[..., None] = observe_all if is_on else nothing
        metrics.observe_all = recording
        for (kind, name), method in (self._on if is_on else self._off).items():
            setattr(kind, name, method)
        for hooks, complete in zip(self._hooks, self._all, strict=True):
            for scope, functions in complete.items():
                hooks[scope] = functions if is_on else [each for each in functions if not measures(each)]


def measures(hook: Callable[..., Any]) -> bool:
    """Return whether this hook of Flask measures requests."""
    return hook.__module__ == request_metrics.__name__


def itself(metric: Any, *_: Any) -> Any:
    return metric


def nothing(*_: Any) -> None:
    """Do nothing, in place of a method that stores a value."""


def no_context(*_: Any) -> nullcontext[None]:
    return nullcontext()
