"""Renders, their work, and the contents of their files."""

import csv
import zipfile
from dataclasses import replace
from io import BytesIO, StringIO
from typing import Any
from uuid import UUID

from shared.images import store as images
from shared.images.code_url import code_url
from shared.infra import db
from shared.infra.db import Conn
from shared.infra.storage.factory import storage
from shared.renders import rules, store
from shared.renders.label_templates import TEMPLATES
from shared.renders.rules import Render, RenderOptions
from tests.images.camera_view import decode
from tests.support.factories import code_text, make_code
from workers import renders as worker


def make_codes(conn: Conn, org_id: UUID, n: int, **fields: Any) -> list[UUID]:
    return [make_code(conn, org_id, **fields) for _ in range(n)]


def urls(conn: Conn, codes: list[UUID]) -> list[str]:
    """Return what the symbols of these codes encode."""
    return [code_url(code_text(conn, code)) for code in codes]


def customize(conn: Conn, code: UUID, logo: bytes | None = None, **fields: Any) -> None:
    """Store an appearance and a logo of a code, without verification."""
    images.save_style(conn, code, replace(images.lock_customization(conn, code), **fields))
    images.save_logo(conn, code, logo)


def add_render(conn: Conn, org_id: UUID, qr_ids: list[UUID], **options: Any) -> UUID:
    """Store a queued render. A label sheet has a built-in template, and starts at its first label."""
    if options.get("output") == "label_sheet":
        options = {"sheet": TEMPLATES.get(options["template"]), "start_at": 1} | options
    with db.transaction() as own:
        return store.add(own, org_id, None, RenderOptions(**options), qr_ids)


def make_render(conn: Conn, org_id: UUID, code: UUID) -> UUID:
    """Store a render of one code, and finish it."""
    render_id = add_render(conn, org_id, [code])
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


def expire_leases(conn: Conn) -> None:
    """Expire every lease, as if its worker had crashed."""
    conn.execute("UPDATE render_chunks SET lease_until = now() WHERE lease_until IS NOT NULL")
    conn.execute("UPDATE render_jobs SET lease_until = now() WHERE lease_until IS NOT NULL")


def events(conn: Conn) -> list[tuple[str, dict[str, Any]]]:
    """Return type and data of every event."""
    return [(row[0], row[1]) for row in conn.execute("SELECT type, data FROM events ORDER BY id")]


def read_file(conn: Conn, render_id: UUID) -> bytes:
    """Return the file of a finished render."""
    render = find(conn, render_id)
    assert render.status == "done", render
    assert render.file_name is not None
    data = b"".join(storage().read(render.file_name))
    assert len(data) == render.file_bytes
    return data


def read_images(data: bytes) -> dict[str, bytes]:
    """Return the images of an archive by name. Every checksum is verified."""
    with zipfile.ZipFile(BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert len(set(archive.namelist())) == len(archive.namelist())
        return {name: archive.read(name) for name in archive.namelist() if name != "manifest.csv"}


def read_manifest(data: bytes) -> list[dict[str, str]]:
    with zipfile.ZipFile(BytesIO(data)) as archive:
        return list(csv.DictReader(StringIO(archive.read("manifest.csv").decode("utf-8-sig"), newline="")))


def decode_images(data: bytes) -> list[str]:
    """Return the text of each PNG, in the order of the archive."""
    return [decode(png)[0] for png in read_images(data).values()]


def list_files(render_id: UUID) -> list[str]:
    """Return the names of all files of a render in the storage."""
    return sorted(name for name, _ in storage().list_files(rules.file_prefix(render_id)))
