"""Renders, made straight or over HTTP, and what is found in their files."""

import csv
import zipfile
from io import BytesIO, StringIO
from typing import Any
from uuid import UUID

from shared.infra import db
from shared.infra.db import Conn
from shared.infra.storage.factory import storage
from shared.renders import rules, store
from shared.renders.rules import Render, RenderOptions
from tests.images.camera_view import decode
from tests.support.factories import make_code
from workers import renders as worker


def make_codes(conn: Conn, org_id: UUID, n: int, **fields: Any) -> list[UUID]:
    return [make_code(conn, org_id, **fields) for _ in range(n)]


def ask(conn: Conn, org_id: UUID, qr_ids: list[UUID], **fields: Any) -> UUID:
    """A queued render."""
    with db.transaction() as own:
        return store.add(own, org_id, None, RenderOptions(**fields), qr_ids)


def make_render(conn: Conn, org_id: UUID, code: UUID) -> UUID:
    """One that is done, of one code."""
    render_id = ask(conn, org_id, [code])
    work()
    return render_id


def find(conn: Conn, render_id: UUID) -> Render:
    return store.get_many(conn, [render_id])[render_id]


def render_one_chunk() -> bool:
    """Render a chunk, if one can be claimed."""
    return bool(worker.chunk_jobs.run_new() or worker.chunk_jobs.run_expired())


def assemble_one() -> bool:
    """Assemble a render, if one can be claimed."""
    return bool(worker.assembly_jobs.run_new() or worker.assembly_jobs.run_expired())


def work() -> None:
    """Render and assemble until nothing can be claimed."""
    while render_one_chunk() or assemble_one():
        pass


def file_of(conn: Conn, render_id: UUID) -> bytes:
    """The bytes of a render that is done."""
    render = find(conn, render_id)
    assert render.status == "done", render
    assert render.file_name is not None
    data = b"".join(storage().read(render.file_name))
    assert len(data) == render.file_bytes
    return data


def pictures(data: bytes) -> dict[str, bytes]:
    """The archive's entries besides the manifest, by name; every checksum is right."""
    with zipfile.ZipFile(BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert len(set(archive.namelist())) == len(archive.namelist())
        return {name: archive.read(name) for name in archive.namelist() if name != "manifest.csv"}


def manifest(data: bytes) -> list[dict[str, str]]:
    with zipfile.ZipFile(BytesIO(data)) as archive:
        return list(csv.DictReader(StringIO(archive.read("manifest.csv").decode("utf-8-sig"), newline="")))


def texts(data: bytes) -> list[str]:
    """What each PNG says, in the archive's order."""
    return [decode(png)[0] for png in pictures(data).values()]


def left(render_id: UUID) -> list[str]:
    """The names of all files of a render."""
    return sorted(name for name, _ in storage().list_files(rules.file_prefix(render_id)))


def end_leases(conn: Conn) -> None:
    """Let the time of every worker that holds something be over."""
    conn.execute("UPDATE render_chunks SET lease_until = now() WHERE lease_until IS NOT NULL")
    conn.execute("UPDATE render_jobs SET lease_until = now() WHERE lease_until IS NOT NULL")
