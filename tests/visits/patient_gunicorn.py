"""The service's gunicorn, whose visits wait for its end."""

from shared.visits import log
from web.gunicorn import *  # noqa: F403

log.ROUND_SECONDS = 3600
