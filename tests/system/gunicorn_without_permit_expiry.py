"""The configuration without expiry of permits, for a negative control."""

from shared.infra import concurrency
from web.gunicorn_conf import *  # noqa: F403

concurrency.PERMIT_SECONDS = 3600
