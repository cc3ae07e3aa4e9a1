"""A release whose last migration is in another directory: `python -m tests.migrations.release DIRECTORY`."""

import sys

from alembic import command

from migrations import HERE, config
from shared.infra.logging import configure

configure("release")
configuration = config()
configuration.set_main_option("version_locations", f"{HERE / 'versions'}:{sys.argv[1]}")
configuration.set_main_option("path_separator", "os")
command.upgrade(configuration, "head")
