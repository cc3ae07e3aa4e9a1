"""Bulk renders: images into a ZIP by two worker processes, and their memory. `python -m bench renders`.

The rival is what a script would do: segno's `make` and `save` into a zipfile, in one process, which decodes nothing.
Both make PNGs of about 300 pixels of the same 37 characters at level M. Waymark is timed from the render's row to its
end, by real workers that another render has warmed up. That includes claims, heartbeats, decoding each image, and
writing and syncing parts and archive. The rival makes fewer images, because its rate is the same for any number. Every
hundredth of Waymark's images is then decoded once more, outside the timing.
"""

import os
import sys
import time
import zipfile
from dataclasses import dataclass
from io import BytesIO
from typing import Any
from uuid import UUID

import numpy as np
import psutil
import segno
import zxingcpp
from PIL import Image

from bench.stack import Stack, running, scaled, stack
from bench.table import Figure, Table
from shared.infra import db
from shared.infra.db import Conn, exactly_one
from shared.infra.message_sender import send
from shared.infra.storage.local import LocalStorage
from shared.messages import RendersPending
from shared.renders import code_selection, rules, store
from shared.renders.rules import RenderOptions
from shared.settings import settings

IMAGES, RIVAL_IMAGES, WARM_UP = 10_000, 500, 1_000
FEW, MANY = 1_000, 100_000
ROUNDS = 3
PROCESSES = 2
PUBLIC_URL = "https://waymark.example"
SIZE, SCALE = 300, 8
LIMIT_SECONDS = 600.0
# As bulk in the Procfile.
QUEUES = ("renders", "analytics", "maintenance")
WORKER = ("dramatiq", "workers.main", "--processes", str(PROCESSES), "--threads", "8", "--queues", *QUEUES)


def seed(conn: Conn) -> None:
    """Create an organization with as many codes as a render may have."""
    conn.execute(
        """
        WITH org AS (INSERT INTO organizations (name, slug) VALUES ('Bench', 'bench') RETURNING id)
        INSERT INTO qr_codes (org_id, code, scan_type, description)
        SELECT id, 'AbCdEf' || lpad(n::text, 6, '0'), 'item_drop', 'Poster ' || n FROM org, generate_series(1, %s) n
        """,
        (MANY,),
    )
    conn.execute("VACUUM ANALYZE")


@dataclass(frozen=True)
class Run:
    """The duration of a render in seconds, and the memory of the largest worker process in megabytes."""

    seconds: float
    megabytes: float


class Workers:
    """Two worker processes, and renders for them."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        with db.connection() as conn:
            self.org_id: UUID = exactly_one(conn.execute("SELECT id FROM organizations"))[0]
            self.codes = code_selection.select_code_ids(conn, self.org_id, None)

    def render(self, count: int) -> Run:
        """Run one render of `count` codes to its end."""
        options, codes = RenderOptions(size=SIZE), self.codes[:count]
        start = time.perf_counter()
        with db.transaction() as conn:
            render_id = store.add(conn, self.org_id, None, options, codes)
        send(RendersPending())
        largest, status = 0, "queued"
        while status in rules.OPEN_STATUSES:
            if time.perf_counter() - start > LIMIT_SECONDS:
                sys.exit(f"{count} images were not rendered in {LIMIT_SECONDS:.0f} s")
            time.sleep(0.02)
            with db.connection() as conn:
                status = exactly_one(conn.execute("SELECT status FROM render_jobs WHERE id = %s", (render_id,)))[0]
            largest = max(largest, *self._memory())
        seconds = time.perf_counter() - start
        self._check(render_id, count)
        return Run(seconds, largest / 2**20)

    def _memory(self) -> list[int]:
        """Return the resident memory of every process, in bytes."""
        sizes = [0]
        for child in self._process.children(recursive=True):
            try:
                sizes.append(child.memory_info().rss)
            except psutil.NoSuchProcess:
                continue
        return sizes

    @staticmethod
    def _check(render_id: UUID, count: int) -> None:
        with db.connection() as conn:
            render = store.get_many(conn, [render_id])[render_id]
        if (render.status, render.done) != ("done", count):
            raise RuntimeError(f"{render.done} of {count} images: {render.status}, {render.reason}")
        path = next(settings().files_path.rglob(str(render.file_name).rpartition("/")[2]))
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith(".png")]
            if len(names) != count:
                raise RuntimeError(f"{len(names)} images in the archive, not {count}")
            for name in names[::100]:
                expected = f"{PUBLIC_URL}/s/{name.partition('-')[2].removesuffix('.png')}"
                if decode(archive.read(name)) != expected:
                    raise RuntimeError(f"{name} does not encode {expected}")
        LocalStorage(settings().files_path).delete(str(render.file_name))


def decode(png: bytes) -> str:
    with Image.open(BytesIO(png)) as image:
        barcode: Any = zxingcpp.read_barcode(np.asarray(image.convert("L")))
    return str(barcode.text)


def time_rival(count: int) -> float:
    """Return the seconds that the rival takes for `count` images."""
    start = time.perf_counter()
    with zipfile.ZipFile(settings().files_path.parent / "rival.zip", "w") as archive:
        for n in range(1, count + 1):
            output = BytesIO()
            symbol = segno.make(f"{PUBLIC_URL}/s/AbCdEf{n:06}", error="m", micro=False, boost_error=False)
            symbol.save(output, "png", scale=SCALE)
            archive.writestr(f"AbCdEf{n:06}.png", output.getvalue())
    return time.perf_counter() - start


def measure(where: Stack, scale: float) -> list[Figure]:
    """Measure alternating rounds of Waymark and the rival, then the memory of one large render."""
    images, rival_images = scaled(IMAGES, scale, 100), scaled(RIVAL_IMAGES, scale, 10)
    few_images, many_images = scaled(FEW, scale, 100), scaled(MANY, scale, 1_000)
    os.environ["PUBLIC_URL"] = PUBLIC_URL
    settings.cache_clear()
    with running(where.data, "bulk", *WORKER, PUBLIC_URL=PUBLIC_URL) as process:
        workers = Workers(process.pid)
        workers.render(WARM_UP)
        few = workers.render(few_images)
        rounds = [
            (images / workers.render(images).seconds, rival_images / time_rival(rival_images)) for _ in range(ROUNDS)
        ]
        many = workers.render(many_images)
    memory = f"memory of a worker, {many_images:,} images beside {few_images:,}"
    return [
        Figure.of_rounds(f"{images:,} PNG into a ZIP, {PROCESSES} workers", "images/s", rounds, "≥", 12),
        Figure(memory, "MB", many.megabytes, few.megabytes, "≤", 1.25),
    ]


def main(scale: float = 1.0) -> list[Table]:
    """Run it and return the table."""
    with stack(seed) as where:
        return [Table("Renders", measure(where, scale))]
