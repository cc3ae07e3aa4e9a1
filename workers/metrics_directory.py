"""The directory of the metrics of a `dramatiq` command. Import this before any module that records metrics.

Dramatiq forks its processes before it imports Waymark, so each of them creates the directory of their parent.
"""

import os

from shared.infra import metrics_files
from shared.settings import settings

if settings().metrics_port is not None:
    metrics_files.create("worker", os.getppid(), is_shared=True)
