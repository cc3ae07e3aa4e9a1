"""Run checks side by side, each within a time limit, and leave out findings that follow from a fault."""

import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

from shared.infra import db
from workers.cli.diagnosis.findings import Finding, State, fault

CONSEQUENCES: dict[str, frozenset[str]] = {
    "pooler": frozenset({"PostgreSQL"}),
    "files": frozenset({"PostgreSQL", "pooler", "schema"}),
    "live events": frozenset({"relay", "Redis"}),
    "scans": frozenset({"worker", "scheduler", "Redis", "broker"}),
    "catalog": frozenset({"PostgreSQL"}),
    "read replica": frozenset({"PostgreSQL"}),
}
"""Components, each with those whose fault explains its own. One cause is reported once."""


@dataclass(frozen=True)
class Check:
    """A check of a component. `state` is how serious it is that the component does not answer."""

    component: str
    find: Callable[[], Iterable[Finding]]
    remedy: str
    state: State = "fault"


class RunningCheck:
    """A check in a thread of its own.

    Names are resolved, and disks read, without a time limit. The thread of such a check ends with the process.
    """

    def __init__(self, check: Check) -> None:
        self._check = check
        self._findings: list[Finding] = []
        self._thread = threading.Thread(target=self._run, name=f"check-{check.component}", daemon=True)
        self._thread.start()

    def findings(self, deadline: float, limit: float) -> list[Finding]:
        """Return what was found until the deadline, and that the check has not ended if so."""
        self._thread.join(max(0.0, deadline - time.monotonic()))
        found = list(self._findings)
        if self._thread.is_alive():
            message = f"{self._check.component} gave no answer within {limit:g} seconds"
            found.append(Finding(self._check.component, self._check.state, message, self._check.remedy))
        return found

    def _run(self) -> None:
        # An append is atomic, and the reader copies the list.
        try:
            for finding in self._check.find():
                self._findings.append(finding)
        except Exception as error:  # noqa: BLE001 - the other checks go on
            message = f"The check failed: {type(error).__name__}: {db.describe(error)}"
            self._findings.append(fault(self._check.component, message, "Correct the cause, and check again."))


def run(checks: Collection[Check], *, limit: float) -> Iterator[Finding]:
    """Yield the findings of all checks in their order, `limit` seconds after the call at the latest."""
    deadline = time.monotonic() + limit
    for running in [RunningCheck(check) for check in checks]:
        yield from running.findings(deadline, limit)


def without_consequences(findings: Collection[Finding]) -> list[Finding]:
    """Return the findings without those that another component's fault explains."""
    faults = {finding.component for finding in findings if finding.state == "fault"}
    return [
        finding
        for finding in findings
        if finding.state == "ok" or not faults & CONSEQUENCES.get(finding.component, frozenset())
    ]
