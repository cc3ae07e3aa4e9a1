"""The simulator: the verdict that a scan would get now, as its player and as staff see it. Nothing is stored."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from flask import Flask, Response, request

from shared.codes import store as codes
from shared.codes.store import StoredCode
from shared.reviews import known_players, rules, simulation
from shared.reviews.rules import RuleStep
from shared.scans.judging_limits import from_settings
from shared.scans.rules import MESSAGES, Coordinates, Verdict
from shared.scans.store import NewScan
from web.http.auth import current_organization, page_requires_role
from web.http.request_context import takes_any_query
from web.http.settings import current_settings
from web.pages.layout import current_account
from web.pages.staff import render_staff_page

FIELDS = ("player", "code", "latitude", "longitude", "accuracy", "at", "offset")
MAX_LENGTH = 2_048


@dataclass(frozen=True)
class Simulated:
    """A verdict, its checks, and the code where the organization has it."""

    verdict: Verdict
    steps: list[RuleStep]
    code: StoredCode | None

    @property
    def for_player(self) -> dict[str, Any]:
        """What the player would get, as the API returns it."""
        shown = {"status": self.verdict.status, "reason": self.verdict.reason}
        return shown | {"message": MESSAGES.get(self.verdict.reason or "")} | dict(self.verdict.outcome)


def init_app(app: Flask) -> None:
    """Register the page."""
    app.add_url_rule("/o/<slug>/simulator", "staff.open_simulator", open_simulator)


@page_requires_role("admin")
@takes_any_query
def open_simulator() -> Response:
    """Show the form, and the verdict for what the address has."""
    values = {name: _text(name) for name in FIELDS}
    account = current_account()
    if "player" not in request.args and account is not None:
        values["player"] = account.username
    simulated, problem = _simulate(current_organization().id, values) if values["code"] else (None, None)
    return render_staff_page(
        "reviews/simulator.html",
        active="simulator",
        modules=("pages/simulator.js",),
        kind="map",
        devices="location",
        values=values,
        simulated=simulated,
        problem=problem,
    )


def _simulate(org_id: UUID, values: Mapping[str, str]) -> tuple[Simulated | None, str | None]:
    """Return the verdict, or the name of the field that prevents one."""
    latitude, longitude, accuracy = (_number(values[name]) for name in ("latitude", "longitude", "accuracy"))
    has_position = bool(values["latitude"] or values["longitude"])
    if has_position and (latitude is None or longitude is None or abs(latitude) > 90 or abs(longitude) > 180):
        return None, "position"
    if values["accuracy"] and (accuracy is None or accuracy < 0):
        return None, "accuracy"
    scanned_at = _time(values["at"], values["offset"])
    if values["at"] and scanned_at is None:
        return None, "at"
    settings = current_settings()
    extra_paths = settings.extra_code_path_prefixes
    with simulation.read_only_snapshot() as conn:
        player = known_players.find_by_name(conn, org_id, values["player"])
        if player is None:
            return None, "player"
        position = None if latitude is None or longitude is None else Coordinates(latitude, longitude)
        scan = NewScan(player.player_id, values["code"], position, accuracy, scanned_at)
        verdict, _ = simulation.simulate(
            conn, org_id, scan, datetime.now(UTC), from_settings(settings), extra_paths=extra_paths
        )
        code_id = simulation.find_code_id(conn, org_id, values["code"], extra_paths)
        code = codes.find(conn, org_id, code_id) if code_id else None
    return Simulated(verdict, rules.rule_steps(verdict.reason, verdict.decision_inputs or {}), code), None


def _text(name: str) -> str:
    text = request.args.get(name, "").strip()
    return text if text.isprintable() and len(text) <= MAX_LENGTH else ""


def _number(text: str) -> float | None:
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _time(text: str, offset: str) -> datetime | None:
    """Return the time of a field without a zone. `offset` is in minutes, as JavaScript counts it: UTC minus local."""
    try:
        local = datetime.fromisoformat(text)
        return (local.replace(tzinfo=None) + timedelta(minutes=int(offset or "0"))).replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
