"""The queries of KEDA's triggers against the real view, as the role that KEDA uses."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import yaml

from shared.infra.db import Conn
from tests.infra.other_database import scaler_database
from tests.kubernetes.conftest import Manifest
from tests.support.factories import make_player
from tests.support.prometheus import PROMTOOL, needs_promtool

WAITING = 5_000


@pytest.fixture
def scaler(conn: Conn) -> Iterator[str]:
    with scaler_database(conn) as url:
        yield url


def queries(overlay: list[Manifest], kind: str) -> dict[str, str]:
    """Return the query of each trigger of this type, by the name of the trigger."""
    return {
        trigger["name"]: trigger["metadata"]["query"]
        for each in overlay
        if each["kind"] == "ScaledObject"
        for trigger in each["spec"]["triggers"]
        if trigger["type"] == kind
    }


def test_every_trigger_returns_one_number(production: list[Manifest], scaler: str) -> None:
    triggers = queries(production, "postgresql")
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


@needs_promtool
def test_sockets_of_the_pods_for_sockets_are_counted(production: list[Manifest], tmp_path: Path) -> None:
    """The series are those that the Prometheus Operator scrapes."""
    series = "waymark_websockets_open{{namespace='{}',pod='{}',stream='{}'}}".format
    counts = {
        series("waymark", "web-live-7f9c-x2x9k", "player"): 1_900,
        series("waymark", "web-live-7f9c-x2x9k", "org"): 100,
        series("waymark", "web-live-7f9c-b8k4z", "player"): 700,
        series("waymark", "web-5d4b-aaaaa", "player"): 30,
        series("other", "web-live-7f9c-ccccc", "player"): 30,
    }
    (query,) = queries(production, "prometheus").values()
    test = {
        "evaluation_interval": "1m",
        "tests": [
            {
                "input_series": [{"series": name, "values": str(count)} for name, count in counts.items()],
                "promql_expr_test": [{"expr": query, "eval_time": "0", "exp_samples": [{"value": 2_700}]}],
            }
        ],
    }
    (tmp_path / "test.yml").write_text(yaml.safe_dump(test))
    run = subprocess.run([PROMTOOL, "test", "rules", str(tmp_path / "test.yml")], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
