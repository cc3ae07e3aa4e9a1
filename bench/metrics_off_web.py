"""Waymark's web process without metrics: they do nothing, and no request is measured."""

from contextlib import nullcontext
from typing import Any

from flask import Flask

from shared.infra import metrics, saturation


class Nothing:
    """A counter, gauge or histogram that stores nothing."""

    def labels(self, *_: Any) -> "Nothing":
        return self

    def inc(self, *_: Any) -> None:
        """Do nothing, as the others."""

    dec = set = observe = set_to_current_time = inc

    def track_inprogress(self) -> nullcontext[None]:
        return nullcontext()

    time = track_inprogress


def create_app() -> Flask:
    """Return the application whose modules got these in place of metrics. Call it before any of them is imported."""
    for name in ("Counter", "Gauge", "Histogram"):
        setattr(metrics, name, lambda *_, **__: Nothing())
    saturation.start = lambda *_: None
    from web import app  # noqa: PLC0415
    from web.http import request_metrics  # noqa: PLC0415

    request_metrics.init_app = lambda app: None  # noqa: ARG005 - the signature of the original
    return app.create_app()
