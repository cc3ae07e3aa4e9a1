"""The service's gunicorn, whose turns last until they are given up."""

from shared import turns
from web.gunicorn import *  # noqa: F403

turns.LEASE_SECONDS = 3600
