"""The expected rollups, counted in Python from scans and visits, and the actual ones."""

from collections import Counter, defaultdict
from datetime import UTC, datetime
from typing import Any

from shared.infra.db import Conn

Rows = dict[str, dict[Any, Any]]
DAY_COLUMNS = ("count", "success", "held", "annulled", "unique_players", "phone", "tablet", "desktop", "other")


def counted(conn: Conn) -> Rows:
    """Count the rows themselves."""
    quarters: dict[Any, Counter[str]] = defaultdict(Counter)
    days: dict[Any, Counter[str]] = defaultdict(Counter)
    times: dict[Any, list[datetime]] = defaultdict(list)
    reasons: Counter[Any] = Counter()
    players: dict[Any, set[Any]] = defaultdict(set)
    scans = conn.execute(
        """
        SELECT q.id, q.org_id, s.player_id, s.scan_time, s.status, s.reason, s.device
        FROM player_scans s JOIN qr_codes q ON q.id = s.qr_code_id WHERE s.status <> 'pending'
        """
    ).fetchall()
    for code, org, player, at, status, reason, device in scans:
        for subject in (code, org):
            day = (subject, at.astimezone(UTC).date())
            for row in (quarters[subject, quarter(at)], days[day]):
                row["count"] += 1
                row[status] += 1
            days[day][device or "other"] += 1
            times[day] += [at] if reason != "too_late" else []
            players[day].add(player)
            if status == "failure":
                reasons[*day, reason] += 1
    return {
        "scan_rollup_15m": {key: (row["count"], row["success"]) for key, row in quarters.items()},
        "scan_rollup_daily": {
            key: (*(row[name] if name != "unique_players" else len(players[key]) for name in DAY_COLUMNS),
                  min(times[key], default=None), max(times[key], default=None))
            for key, row in days.items()
        },
        "scan_rollup_daily_reasons": {key: (count,) for key, count in reasons.items()},
        "scan_daily_players": {(*day, player): () for day, of in players.items() for player in of},
        "scan_all_time_players": {(day[0], player): () for day, of in players.items() for player in of},
        **_counted_visits(conn),
    }  # fmt: skip


def _counted_visits(conn: Conn) -> Rows:
    quarters: Counter[Any] = Counter()
    days: dict[Any, Counter[str]] = defaultdict(Counter)
    visits = conn.execute("SELECT q.id, q.org_id, at, device FROM visits v JOIN qr_codes q ON q.id = v.qr_code_id")
    for code, org, at, device in visits:
        for subject in (code, org):
            days[subject, at.astimezone(UTC).date()][device] += 1
            if device != "bot":
                quarters[subject, quarter(at)] += 1
    return {
        "visit_rollup_15m": {key: (count,) for key, count in quarters.items()},
        "visit_rollup_daily": {
            key: (
                row.total() - row["bot"],
                row["bot"],
                *(row[name] for name in ("phone", "tablet", "desktop", "other")),
            )
            for key, row in days.items()
        },
    }


def quarter(at: datetime) -> datetime:
    at = at.astimezone(UTC)
    return at.replace(minute=at.minute // 15 * 15, second=0, microsecond=0)


KEYS = {
    "scan_rollup_15m": 2,
    "scan_rollup_daily": 2,
    "scan_rollup_daily_reasons": 3,
    "scan_daily_players": 3,
    "scan_all_time_players": 2,
    "visit_rollup_15m": 2,
    "visit_rollup_daily": 2,
}
COLUMNS = {"scan_rollup_daily": f"subject_id, day, {', '.join(DAY_COLUMNS)}, first_at, last_at"}


def rolled_up(conn: Conn) -> Rows:
    """Return the rows of the tables."""
    return {
        table: {
            tuple(row[:width]): tuple(row[width:])
            for row in conn.execute(f"SELECT {COLUMNS.get(table, '*')} FROM {table}")
        }
        for table, width in KEYS.items()
    }
