"""The queries of KEDA's triggers against the real view, as the role that KEDA uses."""

from collections.abc import Iterator

import psycopg
import pytest

from shared.infra.db import Conn
from tests.infra.other_database import scaler_database
from tests.kubernetes.conftest import Manifest
from tests.support.factories import make_player

WAITING = 5_000


@pytest.fixture
def scaler(conn: Conn) -> Iterator[str]:
    with scaler_database(conn) as url:
        yield url


def test_every_trigger_returns_one_number(rendered: dict[str, list[Manifest]], scaler: str) -> None:
    objects = [each for each in rendered["production"] if each["kind"] == "ScaledObject"]
    triggers = {
        trigger["name"]: trigger["metadata"]["query"] for each in objects for trigger in each["spec"]["triggers"]
    }
    with psycopg.connect(scaler, autocommit=True) as conn:
        conn.execute(
            """
            INSERT INTO player_scans (player_id, qr_code)
            SELECT %(player)s, 'code' FROM generate_series(1, %(waiting)s)
            """,
            {"player": make_player(conn), "waiting": WAITING},
        )
        conn.execute("SET ROLE waymark_scaler")
        found = {name: conn.execute(query).fetchall() for name, query in triggers.items()}
    assert found == {"scans": [(WAITING,)], "images": [(0,)], "renders": [(0,)], "imports": [(0,)]}
