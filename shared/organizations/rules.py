"""Rules of organizations: roles, invitations, the last owner, slugs. Pure."""

import re
import unicodedata
from collections.abc import Collection
from datetime import timedelta
from typing import Literal, get_args
from uuid import UUID

Role = Literal["member", "analyst", "admin", "owner"]
SLUG = r"^[a-z0-9](-?[a-z0-9])*$"
ROLES: tuple[Role, ...] = get_args(Role)
"""From the fewest permissions to the most. Each role includes the ones before it."""
MAX_SLUGS = 20
"""Of one organization, deleted aliases included. A slug is taken forever, so an organization gets few of them."""
RESTORE_PERIOD = timedelta(days=7)
"""From the closing of an organization to its erasure."""
MAX_OPEN_INVITATIONS = 200
"""Of one organization."""
MAX_INVITATION_USES = 1_000
INVITATION_LIFETIME = timedelta(days=7)
"""Of an invitation without a time of its own."""
MAX_INVITATION_LIFETIME = timedelta(days=90)


def includes_role(role: Role, needed: Role) -> bool:
    """Return whether a role has all permissions of the needed one."""
    return ROLES.index(role) >= ROLES.index(needed)


def can_invite(inviter: Role | None, role: Role) -> bool:
    """Return whether a member with the role `inviter` may invite players with `role`. False for None, a non-member.

    Owners may invite to every role, admins to roles below their own.
    """
    if inviter is None or not includes_role(inviter, "admin"):
        return False
    return inviter == "owner" or not includes_role(role, inviter)


def has_owner_after(owners: Collection[UUID], player_id: UUID, role: Role | None) -> bool:
    """Return whether an owner remains when the player gets this role, or leaves (None)."""
    return role == "owner" or any(owner != player_id for owner in owners)


def slugify(name: str) -> str:
    """Return a slug for the name: lower-case ASCII without accents, at most 48 characters."""
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", ascii_name)[:48].strip("-") or "organization"
