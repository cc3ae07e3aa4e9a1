"""`waymark scans`: explain, release, annul and retry scans. Each change is recorded in the audit log."""

from typing import Any
from uuid import UUID

import click

from shared.audit import store as audit
from shared.audit.store import OPERATOR
from shared.infra import db
from shared.infra.db import Conn
from shared.infra.message_sender import background_sender
from shared.infra.relay_wakeup import wake_relay
from shared.messages import ScansPending
from shared.reviews import actions, explanation, store
from shared.reviews.rules import RESULTING_STATUS, ReviewAction
from shared.reviews.store import Review
from shared.scans import store as scan_store
from shared.scans.judging_limits import from_settings
from shared.settings import settings
from workers.cli.commands import ID, CommandError, Group, confirm, yes_option
from workers.cli.output import is_json, print_json, report, show_record, show_rows

PARTICIPLES: dict[ReviewAction, str] = {"release": "released", "annul": "annulled"}


@click.group(cls=Group)
def scans() -> None:
    """Explain verdicts, review scans, and retry pending ones."""


@scans.command()
@click.argument("scan_id", metavar="ID", type=ID)
def explain(scan_id: UUID) -> None:
    """Show the verdict on a scan, and each check with its inputs.

    Without recorded inputs, they are reconstructed from the scan and its code as they are now.
    """
    with db.connection() as conn:
        scan = _found(store.find(conn, find_organization_of(conn, scan_id), scan_id), scan_id)
        explained = explanation.explain(conn, scan, from_settings(settings()))
    verdict: dict[str, Any] = {
        "scan_id": scan.scan_id,
        "player": scan.username,
        "code": scan.qr_code,
        "status": scan.status,
        "reason": explained and explained.reason,
        "distance_m": scan.distance_m,
        "scanned_at": scan.scanned_at,
        "received_at": scan.received_at,
        "settled_at": scan.settled_at,
        "reviewed_at": scan.reviewed_at,
        "recorded": explained and explained.recorded,
    }
    steps = explained.steps if explained else []
    listed = [{"rule": step.rule, "outcome": step.outcome, "inputs": dict(step.inputs)} for step in steps]
    if is_json():
        print_json(verdict | {"rules": listed})
    else:
        show_record(verdict)
        show_rows(listed, empty="This scan has no verdict yet")


@scans.command()
@click.argument("scan_id", metavar="ID", type=ID)
@click.option("--force", is_flag=True, help="Release it even if the code has no uses left.")
def release(scan_id: UUID, force: bool) -> None:
    """Make a held scan a success, and pay its reward."""
    _review(scan_id, "release", beyond_stock=force)


@scans.command()
@click.argument("scan_id", metavar="ID", type=ID)
@yes_option
def annul(scan_id: UUID, yes: bool) -> None:
    """Annul a held or successful scan, and reverse its rewards. It cannot be undone."""
    confirm(f"Annul scan {scan_id} and reverse its rewards?", yes=yes)
    _review(scan_id, "annul")


@scans.command()
@click.argument("scan_id", metavar="ID", type=ID)
def resettle(scan_id: UUID) -> None:
    """Let workers judge a pending scan now, as if none had tried it before.

    A verdict is final: only `release` and `annul` change one.
    """
    with db.transaction() as conn:
        org_id = find_organization_of(conn, scan_id)
        if not scan_store.reset_attempts(conn, scan_id):
            raise CommandError(f"Scan {scan_id} has a verdict already: see `waymark scans explain`")
        audit.record(conn, OPERATOR, "scan.resettled", org_id=org_id, object_id=scan_id)
    background_sender.submit(ScansPending())
    background_sender.flush()
    report(f"Scan {scan_id} is judged now", scan_id=scan_id)


def find_organization_of(conn: Conn, scan_id: UUID) -> UUID:
    """Return the organization of a scan's code."""
    org_id = scan_store.find_organization_id(conn, scan_id)
    if org_id is None:
        raise CommandError(f"No scan {scan_id} of a code of an organization")
    return org_id


def _review(scan_id: UUID, action: ReviewAction, *, beyond_stock: bool = False) -> None:
    with db.transaction() as conn:
        org_id = find_organization_of(conn, scan_id)
        change = actions.review(conn, org_id, scan_id, action, None, beyond_stock=beyond_stock)
        if change is not None:
            audit.record(
                conn, OPERATOR, change.audit_action, org_id=org_id, object_id=scan_id, old=change.old, new=change.new
            )
    wake_relay()
    already = " already" if change is None else ""
    values = {"status": RESULTING_STATUS[action], **({} if change is None else change.new)}
    report(f"Scan {scan_id} is {PARTICIPLES[action]}{already}", scan_id=scan_id, changed=change is not None, **values)


def _found(scan: Review | None, scan_id: UUID) -> Review:
    if scan is None:
        raise CommandError(f"No scan {scan_id} of a code of an organization")
    return scan
