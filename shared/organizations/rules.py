"""Roles: what each may do; owners, of whom one stays; slugs. Pure."""

import re
import unicodedata
from collections.abc import Collection
from typing import Literal, get_args
from uuid import UUID

Role = Literal["member", "analyst", "admin", "owner"]
SLUG = r"^[a-z0-9](-?[a-z0-9])*$"
ROLES: tuple[Role, ...] = get_args(Role)
"""From least to most: each may do what those before it may."""


def includes_role(role: Role, needed: Role) -> bool:
    """Whether a role includes what another one may do."""
    return ROLES.index(role) >= ROLES.index(needed)


def has_owner_after(owners: Collection[UUID], player_id: UUID, role: Role | None) -> bool:
    """Whether an organization with these owners still has one when this player gets the role, or none (leaves)."""
    return role == "owner" or any(owner != player_id for owner in owners)


def slugify(name: str) -> str:
    """A slug that reads like the name, at most 48 characters: letters that ASCII lacks lose their marks or fall out."""
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", ascii_name)[:48].strip("-") or "organization"
