"""The configuration with visits that are stored only when the process stops."""

from shared.visits import visit_buffer
from web.gunicorn_conf import *  # noqa: F403

visit_buffer.FLUSH_SECONDS = 3600
