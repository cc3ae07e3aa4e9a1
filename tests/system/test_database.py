"""PostgreSQL cutting connections, dying and coming back: nothing works without it, and all of it works afterwards."""

import psycopg
import pytest
from urllib3.exceptions import HTTPError

from tests.support.polling import eventually
from tests.system.conftest import Stage
from tests.system.processes import halted

pytestmark = pytest.mark.system

CUT_ALL = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
"""


@pytest.mark.parametrize("cuts", [3, pytest.param(20, marks=pytest.mark.long)])
def test_connections_cut_under_load_lose_nothing(stage: Stage, cuts: int) -> None:
    with (
        psycopg.connect(stage.database_url, autocommit=True) as conn,
        stage.followed() as (player, organization),
    ):
        for cut in range(cuts):
            with stage.load.under_way(stage.game.scans(150, seed=cut)):
                stage.load.until_accepted(75)
                assert conn.execute(CUT_ALL).rowcount > 0
        stage.assert_settled_once()
        stage.assert_heard_all(player, organization)


@pytest.mark.parametrize("deaths", [1, pytest.param(6, marks=pytest.mark.long)])
def test_postgres_killed_under_load_loses_nothing_that_was_acknowledged(stage: Stage, deaths: int) -> None:
    with stage.followed() as (player, organization):
        for death in range(deaths):
            with stage.load.under_way(stage.game.scans(400, seed=death)):
                stage.load.until_accepted(200)
                with halted([stage.server.process.pid]):  # so that the supervisor does not restart it yet
                    stage.server.kill("postgres")
                    eventually(lambda: status(stage, "/readyz") == 503)
                    assert "postgresql" in stage.load.ask("GET", "/readyz").json()["detail"]
                    assert status(stage, "/healthz") == 200
                    stage.load.until_refused()
                eventually(lambda: status(stage, "/readyz") == 200)
        stage.assert_settled_once()
        stage.assert_heard_all(player, organization)


@pytest.mark.long
def test_halted_postgres_loses_nothing(stage: Stage) -> None:
    """It accepts connections and never answers. Liveness does not depend on it, so no process is restarted."""
    with stage.followed() as (player, organization):
        with stage.load.under_way(stage.game.scans(300)):
            stage.load.until_accepted(100)
            with halted(stage.server.pids("postgres")):
                assert eventually(lambda: status(stage, "/healthz") == 200)
                with pytest.raises(HTTPError):
                    stage.load.http.request("GET", "/readyz", timeout=2)
            stage.load.until_accepted(100)
        stage.assert_settled_once()
        stage.assert_heard_all(player, organization)


def status(stage: Stage, path: str) -> int:
    try:
        return stage.load.ask("GET", path).status
    except HTTPError:
        return 0
