"""The limits of judging, from the settings."""

from datetime import timedelta

from shared.scans.rules import JudgingLimits
from shared.settings import Settings


def from_settings(settings: Settings) -> JudgingLimits:
    """Return the limits as the rules take them."""
    return JudgingLimits(
        max_age=timedelta(hours=settings.scan_max_age_hours),
        max_accuracy_m=settings.scan_max_accuracy_m,
        max_speed_mps=settings.scan_max_speed_mps,
    )
