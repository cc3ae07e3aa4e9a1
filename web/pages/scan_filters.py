"""The filters of the list of scans, as its address has them. Words that are not known filter nothing."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast, get_args
from urllib.parse import urlencode
from uuid import UUID

from flask import request

from shared.analytics.calendar import Period
from shared.infra.db import Conn
from shared.infra.timestamps import format_rfc3339
from shared.reviews import known_players
from shared.reviews.scan_list import ScanFilter
from shared.scans.rules import REASONS, Reason, ScanStatus, extract_code
from web.http.settings import current_settings
from web.pages.periods import current_period, start_of

MAX_LENGTHS = {"code": 2_048, "tag": 64, "player": 64}


@dataclass(frozen=True)
class ScanFilters:
    """The filters as the form shows them. `player` is a username or an id."""

    status: ScanStatus | None
    reason: Reason | None
    code: str
    tag: str
    player: str
    player_id: UUID | None
    period: Period | None
    tz: str
    since: datetime | None

    @property
    def are_set(self) -> bool:
        """True if any scan may be left out."""
        return any((self.status, self.reason, self.code, self.tag, self.player, self.period))

    @property
    def conditions(self) -> ScanFilter | None:
        """The conditions. None if no scan satisfies them: the organization knows no such player."""
        if self.player and self.player_id is None:
            return None
        return ScanFilter(
            self.status, self.reason, self.code or None, self.tag or None, self.player_id, self.since, None
        )

    def query(self, **changed: Any) -> str:
        """Return the query of the page with these filters, some of them changed."""
        values = {name: getattr(self, name) for name in ("status", "reason", "code", "tag", "player", "period")}
        if self.period:
            values["tz"] = self.tz
        return urlencode({name: value for name, value in (values | changed).items() if value})

    @property
    def csv_query(self) -> str:
        """The query of the CSV file with the same scans."""
        values = {
            "status": self.status or "any",
            "reason": self.reason,
            "code": self.code,
            "tag": self.tag,
            "player": self.player_id,
            "since": self.since and format_rfc3339(self.since),
        }
        return urlencode({name: value for name, value in values.items() if value})


def read_filters(conn: Conn, org_id: UUID, tz: str, *, sees_names: bool) -> ScanFilters:
    """Return the filters of this request. A username is looked up only if the caller may see names."""
    status, reason = request.args.get("status"), request.args.get("reason")
    player, period = _text("player"), current_period()
    player_id = _to_id(player)
    if player_id is not None and sees_names:
        (known,) = known_players.list_names(conn, org_id, [player_id]) or (None,)
        player = known.username if known else player
    elif player and sees_names:
        found = known_players.find_by_name(conn, org_id, player)
        player_id = found.player_id if found else None
    return ScanFilters(
        status=cast("ScanStatus", status) if status in get_args(ScanStatus) else None,
        reason=cast("Reason", reason) if reason in REASONS else None,
        code=extract_code(_text("code"), current_settings().extra_code_path_prefixes),
        tag=_text("tag"),
        player=player,
        player_id=player_id,
        period=period,
        tz=tz,
        since=start_of(period, tz) if period else None,
    )


def _text(name: str) -> str:
    text = request.args.get(name, "").strip()
    return text if text.isprintable() and len(text) <= MAX_LENGTHS[name] else ""


def _to_id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
