"""Fixtures of renders."""

from uuid import UUID

import pytest

from shared.infra.db import Conn
from shared.renders import rules
from tests.support.factories import make_org


@pytest.fixture
def org(conn: Conn) -> UUID:
    return make_org(conn)


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of three codes."""
    monkeypatch.setattr(rules, "CHUNK_SIZE", 3)
