"""The build that a process runs: its version, its source revision, and the database schema that it needs."""

from shared.infra.health import required_migration
from shared.infra.metrics import Gauge
from shared.settings import settings
from shared.version import __version__

BUILD = Gauge(
    "waymark_build_info",
    "The version, revision and required schema of the running code. Always 1.",
    ("version", "revision", "schema"),
    multiprocess_mode="livemax",
)


def record() -> None:
    """Export the build of this process."""
    BUILD.labels(__version__, settings().waymark_revision, required_migration()).set(1)
