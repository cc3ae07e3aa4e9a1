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
from shared.infra.logging import get_logger
from shared.infra.storage.base import StorageError, storage
from shared.messages import RenderChunk, RenderEnded, RendersPending, nudger
from shared.renders import assembly as assembling
from shared.renders import chunk_codes, chunks, rules, store
from shared.renders.assembly import Assembly, AssemblyLost
from shared.renders.chunks import Chunk, LeaseLost
from shared.settings import settings
from workers.broker import handles, process_life

log = get_logger()

AT_ONCE = 2
TURN_SECONDS = 2.0
"""Then other messages of this worker have their turn."""
PAUSE = timedelta(seconds=5)
"""After the storage failed; it doubles from time to time."""
DEFECT = "A part of it could not be made."
SPENT = "Workers died while they put the file together."
LOST = "The storage lost parts of it, again and again."
NOTHING = "No picture could be made; errors says why of each."

_news = threading.Event()
_places = threading.BoundedSemaphore(AT_ONCE)


@handles(RenderChunk)
def render_chunk(render_id: str, number: int) -> None:  # noqa: ARG001 - which one is for the log; any will do
    """Draw a chunk. Safe to run twice: one that is leased or done is not claimed again."""
    work_off()


@handles(RendersPending)
def renders_pending() -> None:
    """Go on with what was left: its nudge was lost, or its worker died."""
    work_off()


@handles(RenderEnded)
def render_ended(render_id: str) -> None:
    """Remove what a render left in the storage. What it misses is found by the hourly cleanup."""
    remove_unneeded(UUID(render_id))


def work_off() -> None:
    """Work until nothing waits, or the turn is over; at once where enough threads of this process do already.

    Whoever comes in vain leaves word, so that one of those who work looks once more before it goes.
    """
    _news.set()
    while _news.is_set() and _places.acquire(blocking=False):
        try:
            _news.clear()
            until = time.monotonic() + TURN_SECONDS
            while step():
                if process_life.stopping.is_set():
                    return
                if time.monotonic() > until:
                    nudger.nudge(RendersPending())
                    return
        finally:
            _places.release()


def step() -> bool:
    """Do the next piece of work there is. Whether there was one."""
    return assemble_one() or draw_one()


def draw_one() -> bool:
    """Draw one chunk, if one waits."""
    token = uuid4()
    with db.connection() as conn:
        chunk = chunks.claim(conn, token, _lease())
        if chunk is None:
            return False
        render = store.by_id(conn, [chunk.job_id])[chunk.job_id]
        codes = chunk_codes.codes(conn, render.id, chunk.qr_ids)
    from shared.renders import pipeline  # noqa: PLC0415 - loads the renderer

    part = rules.part_name(render.id, chunk.number, token)
    try:
        pipeline.warm_up()
        part, failed = pipeline.draw_part(storage(), render, chunk, codes, token, _before_each(chunk, token))
        with db.transaction() as conn:
            is_last = chunks.finish(conn, token, chunk, part, failed)
    except LeaseLost:
        log.info("chunk_lost", render_id=str(render.id), chunk=chunk.number)
        _remove(part)
    except psycopg.OperationalError as error:  # PostgreSQL went away
        log.warning("chunk_given_back", render_id=str(render.id), chunk=chunk.number, error=str(error))
        with db.connection() as conn:
            chunks.give_back(conn, token, chunk)
        raise
    except Exception as error:  # noqa: BLE001 - tried again a few times, whatever it is
        reason = _reason(error, "chunk_postponed", render.id)
        with db.transaction() as conn:
            chunks.postpone(conn, token, chunk, PAUSE, reason)
    else:
        log.info("chunk_drawn", render_id=str(render.id), chunk=chunk.number, failed=len(failed))
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
        render = store.by_id(conn, [assembly.id])[assembly.id]
        names = assembling.parts(conn, render.id)
    from shared.renders import pipeline  # noqa: PLC0415 - loads the renderer

    file = rules.file_name(render, render.id, token)
    try:
        if reason := SPENT if assembling.is_spent(assembly) else NOTHING if render.done == 0 else "":
            with db.transaction() as conn:
                assembling.give_up(conn, token, assembly, reason)
        else:
            beat = _beat(lambda: _keep_assembly(token, assembly))
            file, size = pipeline.put_together(storage(), render, names, token, beat)
            with db.transaction() as conn:
                assembling.finish(conn, token, assembly, file, size, timedelta(days=settings().render_days))
    except AssemblyLost:
        log.info("assembly_lost", render_id=str(render.id))
        _remove(file)
    except pipeline.PartsMissing as missing:
        log.warning("parts_missing", render_id=str(render.id), parts=len(missing.names), first=missing.names[0])
        with db.transaction() as conn:
            assembling.redo_missing(conn, token, assembly, missing.names, LOST)
    except psycopg.OperationalError as error:  # PostgreSQL went away
        log.warning("assembly_given_back", render_id=str(render.id), error=str(error))
        with db.connection() as conn:
            assembling.give_back(conn, token, assembly)
        raise
    except Exception as error:  # noqa: BLE001 - tried again a few times, whatever it is
        reason = _reason(error, "assembly_postponed", render.id)
        with db.transaction() as conn:
            assembling.postpone(conn, token, assembly, PAUSE, reason)
    else:
        log.info("render_ended", render_id=str(render.id), reason=reason or None)
        remove_unneeded(render.id)
    return True


def remove_unneeded(render_id: UUID) -> int:
    """Remove the files of a render that nobody needs any more: parts, or all of them. Returns how many."""
    with db.connection() as conn:
        render = store.by_id(conn, [render_id]).get(render_id)
    gone = 0
    try:
        for name, _ in list(storage().listed(rules.folder(render_id))):
            if not rules.is_needed(name, render):
                storage().delete(name)
                gone += 1
    except StorageError as error:
        log.warning("files_left", render_id=str(render_id), error=str(error))
    return gone


def _before_each(chunk: Chunk, token: UUID) -> Callable[[int | None], None]:
    """Called before each picture, and with None before what is done with all of them: keeps the lease, and tells which
    picture it is where a worker has died before."""
    if rules.is_watched(chunk.attempts):
        return lambda place: _keep_chunk(token, chunk, place)
    beat = _beat(lambda: _keep_chunk(token, chunk, None))
    return lambda _place: beat()


def _keep_chunk(token: UUID, chunk: Chunk, watched: int | None) -> None:
    with db.connection() as conn:
        chunks.keep(conn, token, chunk, _lease(), watched)


def _keep_assembly(token: UUID, assembly: Assembly) -> None:
    with db.connection() as conn:
        assembling.keep(conn, token, assembly, _lease())


def _beat(keep: Callable[[], None]) -> Callable[[], None]:
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
