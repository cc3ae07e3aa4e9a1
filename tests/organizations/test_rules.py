"""Rules of organizations: roles, the last owner, slugs."""

import re
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.organizations.rules import ROLES, SLUG, Role, can_invite, has_owner_after, includes_role, slugify

ADA, BOB = uuid4(), uuid4()


def test_each_role_includes_those_before_it() -> None:
    assert list(ROLES) == ["member", "analyst", "admin", "owner"]
    for index, role in enumerate(ROLES):
        assert tuple(needed for needed in ROLES if includes_role(role, needed)) == ROLES[: index + 1]


@pytest.mark.parametrize(
    ("inviter", "roles"),
    [(None, ()), ("member", ()), ("analyst", ()), ("admin", ("member", "analyst")), ("owner", ROLES)],
)
def test_roles_to_which_a_member_may_invite(inviter: Role | None, roles: tuple[Role, ...]) -> None:
    assert tuple(role for role in ROLES if can_invite(inviter, role)) == roles


@pytest.mark.parametrize(
    ("owners", "player", "role", "has_owner"),
    [
        ({ADA}, ADA, None, False),
        ({ADA}, ADA, "admin", False),
        ({ADA}, ADA, "owner", True),
        ({ADA}, BOB, None, True),
        ({ADA}, BOB, "member", True),
        ({ADA, BOB}, ADA, None, True),
        ({ADA, BOB}, ADA, "member", True),
    ],
)
def test_has_owner_after(owners: set[UUID], player: UUID, role: Role | None, has_owner: bool) -> None:
    assert has_owner_after(owners, player, role) is has_owner


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Museum", "museum"),
        ("  The Café — Ünder the Bridge!  ", "the-cafe-under-the-bridge"),
        ("B&B 24/7", "b-b-24-7"),
        ("../../etc/passwd", "etc-passwd"),
        ("東京", "organization"),
        ("---", "organization"),
        ("a" * 47 + " b", "a" * 47),
    ],
)
def test_slugify(name: str, slug: str) -> None:
    assert slugify(name) == slug


@given(st.text())
def test_any_name_gets_a_valid_slug_of_48_characters(name: str) -> None:
    assert re.fullmatch(SLUG, slugify(name))
    assert len(slugify(name)) <= 48
