"""Customizations in PostgreSQL. The bytes of a logo are read only to render it."""

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
    """The properties of a code that determine its image, apart from the options of a request."""

    code: str
    customization: Customization
    rotating: bool = False
    is_own: bool = False  # False: the customization is the design of the organization


def _to_appearance(code: str, rotating: bool, is_own: bool, style: Any, **columns: Any) -> CodeAppearance:
    customization = DEFAULT_CUSTOMIZATION if style is None else Customization(style=style, **columns)
    return CodeAppearance(code, customization, rotating, is_own)


def find_appearance(conn: Conn, org_id: UUID, qr_id: UUID) -> CodeAppearance | None:
    """Return text and customization of a code. None if the organization has no such code."""
    with conn.cursor(row_factory=kwargs_row(_to_appearance)) as cursor:
        return cursor.execute(
            """
            SELECT q.code, q.rotating, d.is_own, d.foreground_color, d.background_color, d.style, d.logo_size_percent,
                   d.logo_digest
            FROM qr_codes q JOIN code_designs d ON d.qr_code_id = q.id
            WHERE q.org_id = %(org_id)s AND q.id = %(qr_id)s AND q.deleted_at IS NULL
            """,
            {"org_id": org_id, "qr_id": qr_id},
        ).fetchone()


def get_logo(conn: Conn, qr_id: UUID, digest: str) -> bytes | None:
    """Return the logo of a code, a PNG. None if the code has another logo by now."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        logo: bytes | None = cursor.execute(
            "SELECT logo FROM code_designs WHERE qr_code_id = %(qr_id)s AND logo_digest = %(digest)s",
            {"qr_id": qr_id, "digest": digest},
        ).fetchone()
    return logo


def lock_customization(conn: Conn, qr_id: UUID) -> Customization:
    """Lock the customization of a code until the transaction ends, and return it. Scans of the code continue.

    A code without one gets a copy of the organization's design.
    """
    # A row that does not exist cannot be locked. The insert is a statement of its own, because the read that follows
    # the lock must see what another transaction committed before.
    conn.execute(
        """
        INSERT INTO qr_customizations
            (qr_code_id, foreground_color, background_color, style, logo_size_percent, logo, logo_digest)
        SELECT q.id, d.foreground_color, d.background_color, d.style, d.logo_size_percent, d.logo, d.logo_digest
        FROM qr_codes q JOIN organization_designs d USING (org_id) WHERE q.id = %(qr_id)s
        ON CONFLICT DO NOTHING
        """,
        {"qr_id": qr_id},
    )
    conn.execute(
        "INSERT INTO qr_customizations (qr_code_id) VALUES (%(qr_id)s) ON CONFLICT DO NOTHING", {"qr_id": qr_id}
    )
    # One row, so no order of locks.
    with conn.cursor(row_factory=class_row(Customization)) as cursor:
        return db.exactly_one(
            cursor.execute(
                """
                SELECT foreground_color, background_color, style, logo_size_percent, logo_digest
                FROM qr_customizations WHERE qr_code_id = %(qr_id)s
                FOR UPDATE
                """,
                {"qr_id": qr_id},
            )
        )


def save_style(conn: Conn, qr_id: UUID, changed: Customization) -> None:
    """Store colors, style and the logo's size of a locked customization. The logo is unchanged."""
    conn.execute(
        """
        UPDATE qr_customizations
        SET foreground_color = %(foreground_color)s, background_color = %(background_color)s, style = %(style)s,
            logo_size_percent = %(logo_size_percent)s, updated_at = now()
        WHERE qr_code_id = %(qr_id)s
        """,
        vars(changed) | {"qr_id": qr_id},
    )


def save_logo(conn: Conn, qr_id: UUID, sanitized: bytes | None) -> None:
    """Store the logo of a locked customization. None removes the logo."""
    conn.execute(
        """
        UPDATE qr_customizations SET logo = %(logo)s, logo_digest = %(digest)s, updated_at = now()
        WHERE qr_code_id = %(qr_id)s
        """,
        {"logo": sanitized, "digest": None if sanitized is None else logo_digest(sanitized), "qr_id": qr_id},
    )


def logo_digest(sanitized: bytes) -> str:
    """Return the SHA-256 of a logo in hexadecimal."""
    return sha256(sanitized).hexdigest()


def remove_customization(conn: Conn, *qr_ids: UUID) -> None:
    """Delete the customizations of codes. Their images have the design of the organization again."""
    conn.execute("DELETE FROM qr_customizations WHERE qr_code_id = ANY (%(qr_ids)s)", {"qr_ids": list(qr_ids)})
