"""The design of an organization in PostgreSQL: its codes without a customization of their own have it."""

from uuid import UUID

from psycopg.rows import class_row, scalar_row

from shared.images.customizations import DEFAULT_CUSTOMIZATION, Customization
from shared.infra import db
from shared.infra.db import Conn


def find(conn: Conn, org_id: UUID) -> Customization:
    """Return the design of an organization, by default black squares on white."""
    with conn.cursor(row_factory=class_row(Customization)) as cursor:
        design = cursor.execute(
            """
            SELECT foreground_color, background_color, style, logo_size_percent, logo_digest
            FROM organization_designs WHERE org_id = %(org_id)s
            """,
            {"org_id": org_id},
        ).fetchone()
    return design or DEFAULT_CUSTOMIZATION


def get_logo(conn: Conn, org_id: UUID, digest: str) -> bytes | None:
    """Return the logo of the design, a PNG. None if it has another one by now."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        logo: bytes | None = cursor.execute(
            "SELECT logo FROM organization_designs WHERE org_id = %(org_id)s AND logo_digest = %(digest)s",
            {"org_id": org_id, "digest": digest},
        ).fetchone()
    return logo


def lock(conn: Conn, org_id: UUID) -> Customization:
    """Lock the design of an organization until the transaction ends, and return it."""
    # A row that does not exist cannot be locked. The insert is a statement of its own, because the read that follows
    # the lock must see what another transaction committed before.
    conn.execute(
        "INSERT INTO organization_designs (org_id) VALUES (%(org_id)s) ON CONFLICT DO NOTHING", {"org_id": org_id}
    )
    # One row, so no order of locks.
    with conn.cursor(row_factory=class_row(Customization)) as cursor:
        return db.exactly_one(
            cursor.execute(
                """
                SELECT foreground_color, background_color, style, logo_size_percent, logo_digest
                FROM organization_designs WHERE org_id = %(org_id)s
                FOR UPDATE
                """,
                {"org_id": org_id},
            )
        )


def save_style(conn: Conn, org_id: UUID, changed: Customization) -> None:
    """Store colors, style and the logo's size of a locked design. The logo is unchanged."""
    conn.execute(
        """
        UPDATE organization_designs
        SET foreground_color = %(foreground_color)s, background_color = %(background_color)s, style = %(style)s,
            logo_size_percent = %(logo_size_percent)s, updated_at = now()
        WHERE org_id = %(org_id)s
        """,
        vars(changed) | {"org_id": org_id},
    )


def save_logo(conn: Conn, org_id: UUID, logo: bytes | None, digest: str | None) -> None:
    """Store the logo of a locked design, and its SHA-256. None removes it."""
    conn.execute(
        """
        UPDATE organization_designs SET logo = %(logo)s, logo_digest = %(digest)s, updated_at = now()
        WHERE org_id = %(org_id)s
        """,
        {"logo": logo, "digest": digest, "org_id": org_id},
    )


def remove(conn: Conn, org_id: UUID) -> None:
    """Delete the design of an organization. Its codes have the defaults again."""
    conn.execute("DELETE FROM organization_designs WHERE org_id = %(org_id)s", {"org_id": org_id})
