"""The scheduler: sends messages when they are due. One process leads, the others wait to replace it."""

from datetime import UTC, datetime

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from shared.infra import read_replica
from shared.infra.heartbeats import Heartbeat
from shared.infra.leader_election import Leadership, leadership
from shared.infra.logging import configure
from shared.infra.message_sender import background_sender
from shared.infra.redis import require_no_eviction
from shared.infra.signals import stop_event
from shared.messages import (
    AssembliesPending,
    BackUp,
    CleanUp,
    ErasuresPending,
    GeneratedCodesPending,
    ImportsPending,
    Message,
    RendersPending,
    RollUp,
    ScansPending,
)
from shared.settings import settings
from workers import metrics_server
from workers.installation_metrics import INTERVAL_SECONDS, installation

ERASURES_SECONDS = 60.0
RECORD_TIME_SECONDS = 5.0


def main() -> None:
    """Run until SIGTERM or SIGINT: wait for leadership, then send messages while it lasts."""
    configure("scheduler")
    require_no_eviction()
    metrics_server.start("scheduler", [installation])
    stopping = stop_event()
    heartbeat = Heartbeat("scheduler")
    while not stopping.is_set():
        with leadership("scheduler", stopping) as lead:
            if lead is None:
                return
            scheduler = build_scheduler(lead)
            scheduler.start()
            while not stopping.wait(1.0) and lead.is_held():
                heartbeat.beat()
            scheduler.shutdown(wait=True)
            installation.clear()


def build_scheduler(lead: Leadership) -> BackgroundScheduler:
    """Return a scheduler with all jobs. The polls find rows whose message was lost, whose worker crashed, or which
    were inserted by hand."""
    scheduler = BackgroundScheduler(timezone=UTC, job_defaults={"coalesce": True, "misfire_grace_time": 60})
    now = datetime.now(UTC)
    poll, rollup = settings().pending_poll_seconds, settings().rollup_interval_seconds
    for name, message, seconds in (
        ("scans", ScansPending(), poll),
        ("images", GeneratedCodesPending(), poll),
        ("imports", ImportsPending(), poll),
        ("renders", RendersPending(), poll),
        ("assemblies", AssembliesPending(), poll),
        ("rollups", RollUp(), rollup),
        ("erasures", ErasuresPending(), ERASURES_SECONDS),
    ):
        scheduler.add_job(
            send_if_leader,
            IntervalTrigger(seconds=seconds),
            (lead, message),
            id=f"poll-{name}",
            next_run_time=now,
        )
    if settings().metrics_port is not None:
        every = IntervalTrigger(seconds=INTERVAL_SECONDS)
        scheduler.add_job(installation.measure, every, id="metrics", next_run_time=now)
    scheduler.add_job(send_if_leader, CronTrigger(minute=7), (lead, CleanUp()), id="cleanup", next_run_time=now)
    if settings().backup_target is not None:
        # Hourly, because a backup that failed is repeated until it succeeds.
        scheduler.add_job(send_if_leader, CronTrigger(minute=2), (lead, BackUp()), id="backup", next_run_time=now)
    if settings().database_read_url is not None:
        scheduler.add_job(
            read_replica.record_time, IntervalTrigger(seconds=RECORD_TIME_SECONDS), id="record-time", next_run_time=now
        )
    return scheduler


def send_if_leader(lead: Leadership, message: Message) -> None:
    """Send the message if this process still leads, so that two schedulers fire a job once."""
    if lead.is_held():
        background_sender.submit(message)


if __name__ == "__main__":
    main()
