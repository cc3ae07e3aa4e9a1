"""The creator of generated codes."""

import pytest
from flask import Flask

from shared.infra.db import Conn
from tests.support.callers import SignedInPlayer, sign_in


@pytest.fixture
def maker(app: Flask, conn: Conn) -> SignedInPlayer:
    return sign_in(app, conn)
