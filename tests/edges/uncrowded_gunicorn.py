"""The same, for which crowds are like everybody else: for a negative control."""

from tests.edges.endless_gunicorn import *  # noqa: F403
from web import serving

vars(serving)["CROWDS"] = "nobody"
