"""The codes of a chunk as they are printed now, loaded together."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.rows import kwargs_row

from shared.errors import LogoChanged
from shared.images import store as images
from shared.images.customizations import DEFAULT_CUSTOMIZATION, Customization
from shared.infra import db
from shared.infra.db import Conn

LOGOS = 8
"""How many are kept while a chunk is drawn: codes of one campaign have the same."""


@dataclass(frozen=True)
class ChunkCode:
    """What determines the picture of a code and its caption; None for one that was deleted meanwhile."""

    id: UUID
    text: str
    description: str
    customization: Customization


def codes(conn: Conn, render_id: UUID, qr_ids: Sequence[UUID]) -> list[ChunkCode | None]:
    """The codes in this order, by one statement."""
    with conn.cursor(row_factory=kwargs_row(_code)) as cursor:
        return cursor.execute(
            """
            SELECT q.id, q.code, q.description, c.foreground_color, c.background_color, c.style, c.logo_size_percent,
                   c.logo_digest
            FROM unnest(%(ids)s::uuid[]) WITH ORDINALITY asked (id, place)
            JOIN render_jobs j ON j.id = %(render_id)s
            LEFT JOIN qr_codes q ON q.id = asked.id AND q.org_id = j.org_id AND q.deleted_at IS NULL
            LEFT JOIN qr_customizations c ON c.qr_code_id = q.id
            ORDER BY place
            """,
            {"ids": list(qr_ids), "render_id": render_id},
        ).fetchall()


def _code(id: UUID | None, code: str, description: str, style: Any, **columns: Any) -> ChunkCode | None:  # noqa: A002
    if id is None:
        return None
    return ChunkCode(
        id, code, description, DEFAULT_CUSTOMIZATION if style is None else Customization(style=style, **columns)
    )


class LogoCache:
    """The logos that were used last, by their digest."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, bytes] = OrderedDict()

    def get(self, code: ChunkCode) -> bytes | None:
        """The code's logo. Raises PictureChanging where it has been replaced since the code was loaded."""
        digest = code.customization.logo_digest
        if digest is None:
            return None
        if digest not in self._kept:
            with db.connection() as conn:
                found = images.get_logo(conn, code.id, digest)
            if found is None:
                raise LogoChanged
            self._kept[digest] = found
            if len(self._kept) > LOGOS:
                self._kept.popitem(last=False)
        self._kept.move_to_end(digest)
        return self._kept[digest]
