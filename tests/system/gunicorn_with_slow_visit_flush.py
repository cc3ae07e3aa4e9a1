"""The service's gunicorn, whose visits wait for its end."""

from shared.visits import visit_buffer
from web.gunicorn_conf import *  # noqa: F403

visit_buffer.FLUSH_SECONDS = 3600
