"""The codes of a chunk with their current text and appearance, loaded by one statement."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.rows import kwargs_row

from shared.errors import CodeRotates, LogoChanged
from shared.images import store as images
from shared.images.code_url import code_url
from shared.images.customizations import DEFAULT_CUSTOMIZATION, Customization
from shared.infra import db
from shared.infra.db import Conn

MAX_CACHED_LOGOS = 8
"""Codes of one campaign have the same logo."""


@dataclass(frozen=True)
class ChunkCode:
    """The properties of a code that determine its image and its caption."""

    id: UUID
    text: str
    description: str
    customization: Customization
    rotating: bool = False

    @property
    def url(self) -> str:
        """The URL that the symbol encodes. Raise CodeRotates for a code that only screens show."""
        if self.rotating:
            raise CodeRotates("qr_id")
        return code_url(self.text)


def codes(conn: Conn, render_id: UUID, qr_ids: Sequence[UUID]) -> list[ChunkCode | None]:
    """Return the codes in this order; None for a code that has been deleted."""
    with conn.cursor(row_factory=kwargs_row(_code)) as cursor:
        return cursor.execute(
            """
            SELECT q.id, q.code, q.rotating, q.description, d.foreground_color, d.background_color, d.style,
                   d.logo_size_percent, d.logo_digest
            FROM unnest(%(ids)s::uuid[]) WITH ORDINALITY requested (id, index)
            JOIN render_jobs j ON j.id = %(render_id)s
            LEFT JOIN qr_codes q ON q.id = requested.id AND q.org_id = j.org_id AND q.deleted_at IS NULL
            LEFT JOIN code_designs d ON d.qr_code_id = q.id
            ORDER BY index
            """,
            {"ids": list(qr_ids), "render_id": render_id},
        ).fetchall()


def _code(
    id: UUID | None,  # noqa: A002
    code: str,
    rotating: bool,
    description: str,
    style: Any,
    **columns: Any,
) -> ChunkCode | None:
    if id is None:
        return None
    customization = DEFAULT_CUSTOMIZATION if style is None else Customization(style=style, **columns)
    return ChunkCode(id, code, description, customization, rotating)


class LogoCache:
    """The most recently used logos, by digest."""

    def __init__(self) -> None:
        self._logos: OrderedDict[str, bytes] = OrderedDict()

    def get(self, code: ChunkCode) -> bytes | None:
        """Return the logo of a code, None if it has none. Raise LogoChanged if it was replaced meanwhile."""
        digest = code.customization.logo_digest
        if digest is None:
            return None
        if digest not in self._logos:
            with db.connection() as conn:
                logo = images.get_logo(conn, code.id, digest)
            if logo is None:
                raise LogoChanged
            self._logos[digest] = logo
            if len(self._logos) > MAX_CACHED_LOGOS:
                self._logos.popitem(last=False)
        self._logos.move_to_end(digest)
        return self._logos[digest]
