"""Find what an argument names, or raise CommandError with a sentence that repeats it."""

from contextlib import suppress
from uuid import UUID

from shared.accounts import store as accounts
from shared.infra.db import Conn
from shared.organizations import store as organizations
from workers.cli.commands import CommandError


def find_player(conn: Conn, username: str) -> UUID:
    """Return the id of the player with this username, in any letter case, or with this id, as logs have it."""
    player_id = accounts.find_id(conn, username)
    if player_id is None:
        with suppress(ValueError):
            player_id = UUID(username)
    if player_id is None or accounts.get_account(conn, player_id) is None:
        raise CommandError(f"No player {username}")
    return player_id


def find_organization(conn: Conn, slug: str) -> UUID:
    """Return the id of the organization with this slug, also if it is closed."""
    org_id = organizations.find_id_by_slug(conn, slug)
    if org_id is None or not organizations.exists(conn, org_id):
        raise CommandError(f"No organization {slug}")
    return org_id


def lock_organization(conn: Conn, slug: str) -> UUID:
    """Return the id of the organization with this slug. It stays locked until the transaction ends."""
    org_id = find_organization(conn, slug)
    organizations.lock(conn, org_id)
    return org_id
