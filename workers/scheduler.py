"""The scheduler: sends messages when their time has come, and nothing else. One leads, the others stand by."""

from datetime import UTC, datetime

import redis
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from shared.infra.leader_election import Leadership, leadership
from shared.infra.logging import configure, get_logger
from shared.infra.redis import refuse_eviction
from shared.infra.signals import stop_on_signals
from shared.messages import (
    CleanUp,
    ErasuresPending,
    ImagesPending,
    ImportsPending,
    Message,
    RendersPending,
    RollUp,
    ScansPending,
    send,
)
from shared.settings import settings

log = get_logger()

ERASURES_SECONDS = 60.0


def main() -> None:
    configure("scheduler")
    refuse_eviction()
    stopping = stop_on_signals()
    while not stopping.is_set():
        with leadership("scheduler", stopping) as lead:
            if lead is None:
                return
            scheduler = schedule(lead)
            scheduler.start()
            while not stopping.wait(1.0) and lead.is_held():
                pass
            scheduler.shutdown(wait=True)


def schedule(lead: Leadership) -> BackgroundScheduler:
    """Every job. The sweeps find what was left: its nudge was lost, its worker died, it was inserted by hand."""
    scheduler = BackgroundScheduler(timezone=UTC, job_defaults={"coalesce": True, "misfire_grace_time": 60})
    now = datetime.now(UTC)
    sweep, rollup = settings().scan_sweep_seconds, settings().rollup_seconds
    for name, message, seconds in (
        ("scans", ScansPending(), sweep),
        ("images", ImagesPending(), sweep),
        ("imports", ImportsPending(), sweep),
        ("renders", RendersPending(), sweep),
        ("rollups", RollUp(), rollup),
        ("erasures", ErasuresPending(), ERASURES_SECONDS),
    ):
        scheduler.add_job(
            fire,
            IntervalTrigger(seconds=seconds),
            (lead, message),
            id=f"sweep-{name}",
            next_run_time=now,
        )
    scheduler.add_job(fire, CronTrigger(minute=7), (lead, CleanUp()), id="cleanup", next_run_time=now)
    return scheduler


def fire(lead: Leadership, message: Message) -> None:
    """Send the message if this process still leads, so that two schedulers fire a job once."""
    if not lead.is_held():
        return
    try:
        send(message)
    except redis.RedisError as error:
        log.warning("job_not_sent", message=type(message).__name__, error=str(error))


if __name__ == "__main__":
    main()
