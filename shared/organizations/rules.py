"""Rules of organizations: roles, the last owner, slugs. Pure."""

import re
import unicodedata
from collections.abc import Collection
from typing import Literal, get_args
from uuid import UUID

Role = Literal["member", "analyst", "admin", "owner"]
SLUG = r"^[a-z0-9](-?[a-z0-9])*$"
ROLES: tuple[Role, ...] = get_args(Role)
"""From the fewest permissions to the most. Each role includes the ones before it."""


def includes_role(role: Role, needed: Role) -> bool:
    """Return whether a role has all permissions of the needed one."""
    return ROLES.index(role) >= ROLES.index(needed)


def has_owner_after(owners: Collection[UUID], player_id: UUID, role: Role | None) -> bool:
    """Return whether an owner remains when the player gets this role, or leaves (None)."""
    return role == "owner" or any(owner != player_id for owner in owners)


def slugify(name: str) -> str:
    """Return a slug for the name: lower-case ASCII without accents, at most 48 characters."""
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", ascii_name)[:48].strip("-") or "organization"
