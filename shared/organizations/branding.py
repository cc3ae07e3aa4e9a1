"""The logo and the colors of an organization's pages, in PostgreSQL."""

from uuid import UUID

from psycopg.rows import scalar_row

from shared.infra.db import Conn


def logo_path(slug: str | None, digest: str | None) -> str | None:
    """Return the path of a logo, which names its digest so that caches store each logo apart. None without a logo."""
    return None if slug is None or digest is None else f"/b/{slug}/logo?v={digest[:16]}"


def save_logo(conn: Conn, org_id: UUID, logo: bytes | None, digest: str | None) -> None:
    """Store the logo of a locked organization, a PNG, and its SHA-256. None removes it."""
    conn.execute(
        """
        UPDATE organizations SET logo = %(logo)s, logo_digest = %(digest)s, updated_at = now() WHERE id = %(id)s
        """,
        {"logo": logo, "digest": digest, "id": org_id},
    )


def find_logo_digest(conn: Conn, slug: str) -> str | None:
    """Return the SHA-256 of the logo of the open organization with this slug. None without a logo."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        digest: str | None = cursor.execute(
            """
            SELECT logo_digest FROM organizations
            WHERE slug = %(slug)s AND coalesce(closed_at > now(), true)
            """,
            {"slug": slug},
        ).fetchone()
    return digest


def get_logo(conn: Conn, slug: str, digest: str) -> bytes | None:
    """Return the logo, a PNG. None if the organization has another one by now."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        logo: bytes | None = cursor.execute(
            "SELECT logo FROM organizations WHERE slug = %(slug)s AND logo_digest = %(digest)s",
            {"slug": slug, "digest": digest},
        ).fetchone()
    return logo


def find_page_colors(conn: Conn, slug: str) -> tuple[str, str] | None:
    """Return the colors of the open organization with this slug for light and dark pages. None without a color."""
    row = conn.execute(
        """
        SELECT color_light, color_dark FROM organizations
        WHERE slug = %(slug)s AND color IS NOT NULL AND coalesce(closed_at > now(), true)
        """,
        {"slug": slug},
    ).fetchone()
    return None if row is None else (row[0], row[1])
