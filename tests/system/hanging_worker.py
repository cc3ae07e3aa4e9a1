"""Workers that hang in C, with the interpreter lock held, at some codes: `dramatiq tests.system.hanging_worker`."""

import ctypes
from datetime import timedelta
from typing import Any

import pytest

from shared.renders import pipeline, zip_part
from workers import renders
from workers.main import broker

__all__ = ["broker"]

HANGING = "hanging"
render_verified = zip_part.render_verified


def render_or_hang(options: Any, code: Any, logos: Any) -> bytes:
    if code.text.startswith(HANGING):
        print("hangs", flush=True)
        ctypes.PyDLL(None).sleep(600)
    return render_verified(options, code, logos)


pytest.MonkeyPatch().setattr(zip_part, "render_verified", render_or_hang)
renders.chunk_jobs.time_limit = timedelta(seconds=2)

# The time limit is for the image that hangs, not for loading the renderer, which takes longer on a busy machine.
pipeline.warm_up()
