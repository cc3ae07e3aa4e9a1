"""Work on renders: render pending chunks, assemble the parts of finished ones, delete files.

Rendering uses the processor, of which threads do not make more. A process renders two chunks at a time at most, one
while the other waits for a disk or for PostgreSQL. Its other threads are left to imports, rollups and cleanup.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from uuid import UUID

import psycopg

from shared.errors import QuotaExceeded
from shared.infra import db
from shared.infra.leases import LeaseLost
from shared.infra.logging import get_logger
from shared.infra.message_sender import background_sender
from shared.infra.metrics import Counter, Histogram
from shared.infra.relay_wakeup import wake_relay
from shared.infra.storage import marker
from shared.infra.storage.base import StorageError
from shared.infra.storage.factory import storage
from shared.messages import AssembliesPending, RenderFilesUnneeded, RendersPending
from shared.organizations import usage
from shared.renders import assembly as assemblies
from shared.renders import chunk_codes, chunks, rules, store
from shared.renders.assembly import Assembly
from shared.renders.chunks import Chunk
from shared.renders.image_timer import ChunkTooSlow
from shared.settings import settings
from workers.broker import actor_for
from workers.jobs import JobRunner
from workers.time_limits import ACTOR_SECONDS, time_limits

log = get_logger()

CONCURRENT_CHUNKS = 2
CONCURRENT_ASSEMBLIES = 2
TIME_LIMIT = timedelta(minutes=5)
"""Since the last heartbeat. A bucket that does not respond fails within it: four attempts of 30 seconds, and as many to
abort the upload."""
RETRY_PAUSE = timedelta(seconds=5)
"""After the first failure of the storage; it doubles with each."""
INTERNAL_ERROR = "A part of it could not be made."
ASSEMBLY_CRASHED = "Workers crashed while they assembled the file."
PARTS_LOST = "The storage repeatedly lost parts of it."
RENDER_IMAGES = Counter("waymark_render_images_total", "Images of renders, by outcome: done or failed.", ("outcome",))
RENDER_SECONDS = Histogram(
    "waymark_render_chunk_seconds",
    "Time to render a chunk of images.",
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300),
)
NO_IMAGES = "No image could be rendered; errors has the reason of each."


@actor_for(RendersPending)
def render_pending() -> None:
    """Render all pending chunks. Leave them to other workers if web does not read this worker's files."""
    if not marker.check():
        return
    chunk_jobs.run_pending()


@actor_for(AssembliesPending)
def assemble_pending() -> None:
    """Assemble all renders whose chunks are done. Leave them to other workers, as `render_pending` does."""
    if not marker.check():
        return
    assembly_jobs.run_pending()


@actor_for(RenderFilesUnneeded)
@time_limits.limit(ACTOR_SECONDS)
def delete_render_files(render_id: str) -> None:
    """Delete the files of a render. The hourly cleanup finds those that are missed."""
    delete_unneeded_files(UUID(render_id))


def render_chunk(token: UUID, claimed: list[Chunk]) -> None:
    """Render a chunk into a part. A chunk without attempts left gets a part without images."""
    (chunk,) = claimed
    started = time.perf_counter()
    with db.connection() as conn:
        chunk = chunks.start(conn, token, chunk)
        render = store.get_many(conn, [chunk.job_id])[chunk.job_id]
        codes = chunk_codes.codes(conn, render.id, chunk.qr_ids)
    from shared.renders import pipeline  # noqa: PLC0415 - loads the renderer

    part = rules.part_name(render.id, chunk.number, token)
    try:
        pipeline.warm_up()
        part, failed = pipeline.render_part(storage(), render, chunk, codes, token, _progress_callback(chunk, token))
        with db.transaction() as conn:
            is_last = chunks.finish(conn, token, chunk, part, failed)
    except LeaseLost:
        _delete(part)
        raise
    except psycopg.OperationalError:
        # The runner releases the lease: no image is to blame.
        with db.connection() as conn:
            chunks.set_current_index(conn, token, chunk, None)
        raise
    except ChunkTooSlow:
        # The runner counts the attempt. The next one renders each label alone, and finds the slow one.
        raise
    except Exception as error:  # noqa: BLE001 - retried a few times, whatever it is
        reason = _failure_reason(error, "chunk_postponed", render.id)
        with db.transaction() as conn:
            chunks.retry_later(conn, token, chunk, RETRY_PAUSE, reason)
        return
    RENDER_SECONDS.observe(time.perf_counter() - started)
    RENDER_IMAGES.labels("failed").inc(len(failed))
    RENDER_IMAGES.labels("done").inc(len(chunk.qr_ids) - len(failed))
    wake_relay()
    log.info("chunk_rendered", render_id=str(render.id), chunk=chunk.number, failed=len(failed))
    if is_last:
        background_sender.submit(AssembliesPending())


def assemble(token: UUID, claimed: list[Assembly]) -> None:
    """Assemble the parts of a render into its file. A render without images fails."""
    (assembly,) = claimed
    with db.connection() as conn:
        render = store.get_many(conn, [assembly.id])[assembly.id]
        names = assemblies.list_parts(conn, render.id)
    if render.done == 0:
        _fail(token, assembly, NO_IMAGES)
        return
    from shared.renders import pipeline  # noqa: PLC0415 - loads the renderer

    file = rules.file_name(render, render.id, token)
    try:
        heartbeat = _throttled(lambda: assembly_jobs.heartbeat(token, assembly.id))
        file, size = pipeline.assemble_file(storage(), render, names, token, heartbeat)
        with db.transaction() as conn:
            assemblies.finish(conn, token, assembly, file, size, timedelta(days=settings().render_retention_days))
            limit_mb = settings().max_files_mb_per_organization
            usage.check_files(conn, render.org_id, added_bytes=size, limit_mb=limit_mb)
    except LeaseLost:
        _delete(file)
        raise
    except psycopg.OperationalError:
        raise
    except QuotaExceeded as error:
        _fail(token, assembly, str(error))
    except pipeline.PartsMissing as missing:
        log.warning("render_parts_missing", render_id=str(render.id), parts=len(missing.names), first=missing.names[0])
        with db.transaction() as conn:
            assemblies.rerender_missing_parts(conn, token, assembly, missing.names, PARTS_LOST)
        background_sender.submit(RendersPending())
    except Exception as error:  # noqa: BLE001 - retried a few times, whatever it is
        reason = _failure_reason(error, "assembly_postponed", render.id)
        with db.transaction() as conn:
            assemblies.retry_later(conn, token, assembly, RETRY_PAUSE, reason)
    else:
        wake_relay()
        log.info("render_finished", render_id=str(render.id), reason=None)
        delete_unneeded_files(render.id)


def dead_letter_assembly(token: UUID, claimed: list[Assembly]) -> None:
    """Fail a render whose assembly has no attempts left."""
    (assembly,) = claimed
    _fail(token, assembly, ASSEMBLY_CRASHED)


def delete_unneeded_files(render_id: UUID) -> int:
    """Delete the files of a render that are no longer needed: its parts, or all of them. Return how many."""
    with db.connection() as conn:
        render = store.get_many(conn, [render_id]).get(render_id)
    deleted = 0
    try:
        for name, _ in list(storage().list_files(rules.file_prefix(render_id))):
            if not rules.is_file_needed(name, render):
                storage().delete(name)
                deleted += 1
    except StorageError as error:
        log.warning("render_files_not_deleted", render_id=str(render_id), error=str(error))
    return deleted


def _fail(token: UUID, assembly: Assembly, reason: str) -> None:
    with db.transaction() as conn:
        assemblies.fail(conn, token, assembly, reason)
    wake_relay()
    log.info("render_finished", render_id=str(assembly.id), reason=reason)
    delete_unneeded_files(assembly.id)


def _progress_callback(chunk: Chunk, token: UUID) -> Callable[[int | None], None]:
    """Return a function to call with the index of each image before it is rendered, and with None before work on all
    of them. It renews the lease. If a worker crashed on this chunk, it stores the index."""
    if rules.tracks_each_image(chunk.attempts):
        return lambda index: _heartbeat_with_index(chunk, token, index)
    heartbeat = _throttled(lambda: chunk_jobs.heartbeat(token, chunk.id))
    return lambda _index: heartbeat()


def _heartbeat_with_index(chunk: Chunk, token: UUID, index: int | None) -> None:
    chunk_jobs.heartbeat(token, chunk.id)
    with db.connection() as conn:
        chunks.set_current_index(conn, token, chunk, index)


def _throttled(heartbeat: Callable[[], object]) -> Callable[[], None]:
    """Return the heartbeat, limited to one a second, and to four in the time of a lease."""
    pause = min(settings().render_lease_seconds / 4, 1.0)
    due = time.monotonic() + pause

    def throttled() -> None:
        nonlocal due
        if time.monotonic() >= due:
            heartbeat()
            due = time.monotonic() + pause

    return throttled


def _failure_reason(error: Exception, event: str, render_id: UUID) -> str:
    """Log the error, and return the reason that staff see if the render fails by it."""
    if isinstance(error, StorageError):
        log.warning(event, render_id=str(render_id), error=str(error))
        return str(error)
    log.error(event, render_id=str(render_id), exc_info=error)
    return INTERNAL_ERROR


def _delete(name: str) -> None:
    with suppress(StorageError):
        storage().delete(name)


def _lease() -> timedelta:
    return timedelta(seconds=settings().render_lease_seconds)


chunk_jobs = JobRunner(
    chunks.PENDING_CHUNKS,
    RendersPending(),
    render_chunk,
    render_chunk,
    lease=_lease,
    concurrency=CONCURRENT_CHUNKS,
    time_limit=TIME_LIMIT,
)
assembly_jobs = JobRunner(
    assemblies.PENDING_ASSEMBLIES,
    AssembliesPending(),
    assemble,
    dead_letter_assembly,
    lease=_lease,
    concurrency=CONCURRENT_ASSEMBLIES,
    time_limit=TIME_LIMIT,
)
