"""The service's gunicorn, whose turns last until they are given up."""

from shared.infra import concurrency
from web.gunicorn_conf import *  # noqa: F403

concurrency.PERMIT_SECONDS = 3600
