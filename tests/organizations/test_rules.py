import re
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.organizations.rules import ROLES, SLUG, Role, has_owner_after, includes_role, slugify

ADA, BOB = uuid4(), uuid4()


def test_each_role_includes_those_before_it() -> None:
    assert list(ROLES) == ["member", "analyst", "admin", "owner"]
    for place, role in enumerate(ROLES):
        assert [includes_role(role, needed) for needed in ROLES] == [True] * (place + 1) + [False] * (
            len(ROLES) - place - 1
        )


@pytest.mark.parametrize(
    ("owners", "player", "role", "kept"),
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
def test_keeps_an_owner(owners: set[UUID], player: UUID, role: Role | None, kept: bool) -> None:
    assert has_owner_after(owners, player, role) is kept


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
def test_slug_of(name: str, slug: str) -> None:
    assert slugify(name) == slug


@given(st.text())
def test_any_name_has_a_slug_with_room_for_an_ending(name: str) -> None:
    assert re.fullmatch(SLUG, slugify(name))
    assert len(slugify(name)) <= 48
