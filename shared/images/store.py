"""How pictures of codes look, in PostgreSQL. The logo's bytes are read only where they are drawn."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from uuid import UUID

from psycopg.rows import class_row, kwargs_row, scalar_row

from shared.images.customizations import DEFAULT_CUSTOMIZATION, Customization
from shared.infra import db
from shared.infra.db import Conn


@dataclass(frozen=True)
class CodeAppearance:
    """What determines the picture of a code, besides what a request asks for."""

    code: str
    customization: Customization


def _printed(code: str, style: Any, **columns: Any) -> CodeAppearance:
    return CodeAppearance(code, DEFAULT_CUSTOMIZATION if style is None else Customization(style=style, **columns))


def find_appearance(conn: Conn, org_id: UUID, qr_id: UUID) -> CodeAppearance | None:
    """A code of an organization as it is printed."""
    with conn.cursor(row_factory=kwargs_row(_printed)) as cursor:
        return cursor.execute(
            """
            SELECT q.code, c.foreground_color, c.background_color, c.style, c.logo_size_percent, c.logo_digest
            FROM qr_codes q LEFT JOIN qr_customizations c ON c.qr_code_id = q.id
            WHERE q.org_id = %s AND q.id = %s AND q.deleted_at IS NULL
            """,
            (org_id, qr_id),
        ).fetchone()


def get_logo(conn: Conn, qr_id: UUID, digest: str) -> bytes | None:
    """The logo of a code, a PNG. None where it has been replaced meanwhile."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        found: bytes | None = cursor.execute(
            "SELECT logo FROM qr_customizations WHERE qr_code_id = %s AND logo_digest = %s", (qr_id, digest)
        ).fetchone()
    return found


def lock_customization(conn: Conn, qr_id: UUID) -> Customization:
    """The code's customization, which nobody else changes until the transaction ends. Scans of the code go on.

    The row comes first, in a statement of its own: what is not there cannot be locked.
    """
    conn.execute("INSERT INTO qr_customizations (qr_code_id) VALUES (%s) ON CONFLICT DO NOTHING", (qr_id,))
    with conn.cursor(row_factory=class_row(Customization)) as cursor:
        return db.exactly_one(
            cursor.execute(
                """
                SELECT foreground_color, background_color, style, logo_size_percent, logo_digest
                FROM qr_customizations WHERE qr_code_id = %s
                FOR UPDATE
                """,
                (qr_id,),
            )
        )


def save_style(conn: Conn, qr_id: UUID, changed: Customization) -> None:
    """Store colors, style and the logo's size of a locked customization; the logo stays."""
    conn.execute(
        """
        UPDATE qr_customizations
        SET foreground_color = %s, background_color = %s, style = %s, logo_size_percent = %s, updated_at = now()
        WHERE qr_code_id = %s
        """,
        (changed.foreground_color, changed.background_color, changed.style, changed.logo_size_percent, qr_id),
    )


def save_logo(conn: Conn, qr_id: UUID, cleaned: bytes | None) -> None:
    """Store the logo of a locked customization, or take it away."""
    conn.execute(
        "UPDATE qr_customizations SET logo = %s, logo_digest = %s, updated_at = now() WHERE qr_code_id = %s",
        (cleaned, None if cleaned is None else logo_digest(cleaned), qr_id),
    )


def logo_digest(cleaned: bytes) -> str:
    """What a logo is known by."""
    return sha256(cleaned).hexdigest()


def remove_customization(conn: Conn, qr_id: UUID) -> None:
    """Back to plain."""
    conn.execute("DELETE FROM qr_customizations WHERE qr_code_id = %s", (qr_id,))
