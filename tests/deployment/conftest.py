"""Machines on which v1.0.0 runs."""

from functools import partial
from pathlib import Path

import pytest

from tests.deployment.machine import Make, make_machine


@pytest.fixture
def machine(tmp_path: Path) -> Make:
    return partial(make_machine, tmp_path)
