"""All of Waymark with PgBouncer in transaction mode between its processes and PostgreSQL."""

from typing import Any

import pytest

from script.stack import running_server, temporary_postgres
from tests.support.pgbouncer import console, needs_pgbouncer, pooler
from tests.system.conftest import SERVER_ENVIRONMENT, set_up
from tests.system.processes import ENVIRONMENT

pytestmark = [pytest.mark.system, needs_pgbouncer]


def test_scans_settle_and_events_arrive_through_a_pooler(app: Any) -> None:
    with temporary_postgres() as postgres, pooler(postgres.url) as pooled:
        urls = {"DATABASE_URL": pooled, "DATABASE_DIRECT_URL": postgres.url, "DATABASE_PREPARED": "false"}
        with running_server(env={**ENVIRONMENT, **SERVER_ENVIRONMENT, **urls}) as server:
            stage = set_up(server, app, postgres.url)
            with stage.followed() as (player, organization):
                stage.load.hand_in_all(stage.game.scans(300))
                stage.assert_settled_once()
                stage.assert_heard_all(player, organization)


@pytest.mark.long
def test_pooler_that_is_paused_reconnected_and_killed_loses_no_scan(app: Any) -> None:
    """As for a restart of PostgreSQL, a failover, and an operator who cuts all connections."""
    with temporary_postgres() as postgres, pooler(postgres.url) as pooled:
        urls = {"DATABASE_URL": pooled, "DATABASE_DIRECT_URL": postgres.url, "DATABASE_PREPARED": "false"}
        with running_server(env={**ENVIRONMENT, **SERVER_ENVIRONMENT, **urls}) as server:
            stage = set_up(server, app, postgres.url)
            with stage.followed() as (player, organization):
                with stage.load.under_way(stage.game.scans(900)):
                    stage.load.until_accepted(100)
                    console(pooled, "PAUSE")
                    console(pooled, "RESUME")
                    stage.load.until_accepted(100)
                    console(pooled, "RECONNECT")
                    stage.load.until_accepted(100)
                    console(pooled, "KILL")
                    stage.load.until_refused()
                    console(pooled, "RESUME")
                assert set(stage.load.answers) == {202, 503}
                stage.assert_settled_once()
                stage.assert_heard_all(player, organization)
