"""The configuration without serialized requests, for a negative control."""

from tests.system.gunicorn_without_permit_expiry import *  # noqa: F403
from web.server import gunicorn_worker

vars(gunicorn_worker)["SERIALIZED_ROUTES"] = "none"
