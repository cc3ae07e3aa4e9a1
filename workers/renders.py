"""Bulk renders: claim a chunk, draw it, finish it once; and put the parts together when the last chunk is done.

Drawing is the processor's work, of which threads do not make more: a process draws two chunks at a time at most, one
while the other waits for a disk or for PostgreSQL, and its other threads are left to scans.
"""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from uuid import UUID, uuid4

import psycopg

from shared.infra import db
from shared.infra.leases import LeaseLost
from shared.infra.logging import get_logger
from shared.infra.message_sender import background_sender
from shared.infra.storage.base import StorageError
from shared.infra.storage.factory import storage
from shared.messages import RenderChunk, RenderFilesUnneeded, RendersPending
from shared.renders import assembly as assembling
from shared.renders import chunk_codes, chunks, rules, store
from shared.renders.assembly import Assembly
from shared.renders.chunks import Chunk
from shared.settings import settings
from workers.broker import actor_for, worker_lifecycle

log = get_logger()

CONCURRENT_CHUNKS = 2
MAX_RUN_SECONDS = 2.0
"""Then other messages of this worker have their turn."""
RETRY_PAUSE = timedelta(seconds=5)
"""After the storage failed; it doubles from time to time."""
DEFECT = "A part of it could not be made."
ASSEMBLY_CRASHED = "Workers died while they put the file together."
PARTS_LOST = "The storage lost parts of it, again and again."
NO_IMAGES = "No picture could be made; errors says why of each."

_news = threading.Event()
_places = threading.BoundedSemaphore(CONCURRENT_CHUNKS)


@actor_for(RenderChunk)
def render_chunk(render_id: str, number: int) -> None:  # noqa: ARG001 - which one is for the log; any will do
    """Draw a chunk. Safe to run twice: one that is leased or done is not claimed again."""
    work_until_idle()


@actor_for(RendersPending)
def renders_pending() -> None:
    """Go on with what was left: its nudge was lost, or its worker died."""
    work_until_idle()


@actor_for(RenderFilesUnneeded)
def delete_render_files(render_id: str) -> None:
    """Remove what a render left in the storage. What it misses is found by the hourly cleanup."""
    delete_unneeded_files(UUID(render_id))


def work_until_idle() -> None:
    """Work until nothing waits, or the turn is over; at once where enough threads of this process do already.

    Whoever comes in vain leaves word, so that one of those who work looks once more before it goes.
    """
    _news.set()
    while _news.is_set() and _places.acquire(blocking=False):
        try:
            _news.clear()
            until = time.monotonic() + MAX_RUN_SECONDS
            while work_once():
                if worker_lifecycle.stopping.is_set():
                    return
                if time.monotonic() > until:
                    background_sender.submit(RendersPending())
                    return
        finally:
            _places.release()


def work_once() -> bool:
    """Do the next piece of work there is. Whether there was one."""
    return assemble_one() or render_one_chunk()


def render_one_chunk() -> bool:
    """Draw one chunk, if one waits."""
    token = uuid4()
    with db.connection() as conn:
        chunk = chunks.claim(conn, token, _lease())
        if chunk is None:
            return False
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
        log.info("chunk_lease_lost", render_id=str(render.id), chunk=chunk.number)
        _remove(part)
    except psycopg.OperationalError as error:  # PostgreSQL went away
        log.warning("chunk_lease_released", render_id=str(render.id), chunk=chunk.number, error=str(error))
        with db.connection() as conn:
            chunks.give_back(conn, token, chunk)
        raise
    except Exception as error:  # noqa: BLE001 - tried again a few times, whatever it is
        reason = _reason(error, "chunk_postponed", render.id)
        with db.transaction() as conn:
            chunks.retry_later(conn, token, chunk, RETRY_PAUSE, reason)
    else:
        log.info("chunk_rendered", render_id=str(render.id), chunk=chunk.number, failed=len(failed))
        if is_last:
            _news.set()
    return True


def assemble_one() -> bool:
    """Put one render's parts together, if one has all of them."""
    token = uuid4()
    with db.connection() as conn:
        assembly = assembling.claim(conn, token, _lease())
        if assembly is None:
            return False
        render = store.get_many(conn, [assembly.id])[assembly.id]
        names = assembling.list_parts(conn, render.id)
    from shared.renders import pipeline  # noqa: PLC0415 - loads the renderer

    file = rules.file_name(render, render.id, token)
    try:
        if reason := ASSEMBLY_CRASHED if assembling.is_spent(assembly) else NO_IMAGES if render.done == 0 else "":
            with db.transaction() as conn:
                assembling.fail(conn, token, assembly, reason)
        else:
            beat = _throttled(lambda: _assembly_heartbeat(token, assembly))
            file, size = pipeline.assemble_file(storage(), render, names, token, beat)
            with db.transaction() as conn:
                assembling.finish(conn, token, assembly, file, size, timedelta(days=settings().render_retention_days))
    except LeaseLost:
        log.info("assembly_lease_lost", render_id=str(render.id))
        _remove(file)
    except pipeline.PartsMissing as missing:
        log.warning("render_parts_missing", render_id=str(render.id), parts=len(missing.names), first=missing.names[0])
        with db.transaction() as conn:
            assembling.rerender_missing_parts(conn, token, assembly, missing.names, PARTS_LOST)
    except psycopg.OperationalError as error:  # PostgreSQL went away
        log.warning("assembly_lease_released", render_id=str(render.id), error=str(error))
        with db.connection() as conn:
            assembling.give_back(conn, token, assembly)
        raise
    except Exception as error:  # noqa: BLE001 - tried again a few times, whatever it is
        reason = _reason(error, "assembly_postponed", render.id)
        with db.transaction() as conn:
            assembling.retry_later(conn, token, assembly, RETRY_PAUSE, reason)
    else:
        log.info("render_finished", render_id=str(render.id), reason=reason or None)
        delete_unneeded_files(render.id)
    return True


def delete_unneeded_files(render_id: UUID) -> int:
    """Remove the files of a render that nobody needs any more: parts, or all of them. Returns how many."""
    with db.connection() as conn:
        render = store.get_many(conn, [render_id]).get(render_id)
    gone = 0
    try:
        for name, _ in list(storage().list_files(rules.file_prefix(render_id))):
            if not rules.is_file_needed(name, render):
                storage().delete(name)
                gone += 1
    except StorageError as error:
        log.warning("render_files_not_deleted", render_id=str(render_id), error=str(error))
    return gone


def _progress_callback(chunk: Chunk, token: UUID) -> Callable[[int | None], None]:
    """Called before each picture, and with None before what is done with all of them: keeps the lease, and tells which
    picture it is where a worker has died before."""
    if rules.tracks_each_image(chunk.attempts):
        return lambda place: _chunk_heartbeat(token, chunk, place)
    beat = _throttled(lambda: _chunk_heartbeat(token, chunk, None))
    return lambda _place: beat()


def _chunk_heartbeat(token: UUID, chunk: Chunk, current_index: int | None) -> None:
    with db.connection() as conn:
        chunks.keep(conn, token, chunk, _lease(), current_index)


def _assembly_heartbeat(token: UUID, assembly: Assembly) -> None:
    with db.connection() as conn:
        assembling.keep(conn, token, assembly, _lease())


def _throttled(keep: Callable[[], None]) -> Callable[[], None]:
    """`keep`, but no more often than a few times in a lease, and in a second."""
    pause = min(settings().render_lease_seconds / 4, 1.0)
    due = time.monotonic() + pause

    def beat() -> None:
        nonlocal due
        if time.monotonic() >= due:
            keep()
            due = time.monotonic() + pause

    return beat


def _reason(error: Exception, event: str, render_id: UUID) -> str:
    """What staff are told if it comes to the worst. What is no failure of the storage is a defect, and logged whole."""
    if isinstance(error, StorageError):
        log.warning(event, render_id=str(render_id), error=str(error))
        return str(error)
    log.error(event, render_id=str(render_id), exc_info=error)
    return DEFECT


def _remove(name: str) -> None:
    with suppress(StorageError):
        storage().delete(name)


def _lease() -> timedelta:
    return timedelta(seconds=settings().render_lease_seconds)
