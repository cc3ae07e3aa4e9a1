"""Fixtures of the tests that send the requests of older clients."""

from typing import Any

import pytest

from shared.infra.db import Conn
from tests.quests.conftest import our_catalog, set_settings, shipped
from tests.support.callers import SignedInPlayer, sign_in

__all__ = ["our_catalog", "set_settings", "shipped"]


@pytest.fixture
def ada(app: Any, conn: Conn) -> SignedInPlayer:
    return sign_in(app, conn, "ada")
