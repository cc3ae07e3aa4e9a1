"""Workers that one code kills: `dramatiq tests.system.deadly_worker`."""

import os
import signal
from typing import Any

import pytest

from shared.scans import rules
from shared.scans.rules import Scan, Verdict
from workers.main import broker

__all__ = ["broker"]

DEADLY = "deadly"
judge = rules.judge


def judge_or_die(scan: Scan, *rest: Any) -> Verdict:
    if scan.qr_code == DEADLY:
        os.kill(os.getpid(), signal.SIGKILL)
    return judge(scan, *rest)


pytest.MonkeyPatch().setattr(rules, "judge", judge_or_die)
