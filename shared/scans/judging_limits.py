"""What the installation's settings say about judging."""

from datetime import timedelta

from shared.scans.rules import Limits
from shared.settings import Settings


def limits(settings: Settings) -> Limits:
    """The settings as the rules take them."""
    return Limits(
        grace=timedelta(hours=settings.scan_grace_hours),
        max_accuracy_m=settings.scan_max_accuracy_m,
        max_speed_mps=settings.scan_max_speed_mps,
    )
