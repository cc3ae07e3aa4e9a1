"""All of Waymark with PgBouncer in transaction mode between its processes and PostgreSQL."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from script.stack import running_server, temporary_postgres
from tests.support.pgbouncer import console, needs_pgbouncer, needs_tracked_statements, pooler
from tests.system.conftest import SERVER_ENVIRONMENT, Stage, set_up
from tests.system.processes import ENVIRONMENT

pytestmark = [pytest.mark.system, needs_pgbouncer]

PREPARED = pytest.param(True, id="prepared", marks=[needs_tracked_statements, pytest.mark.long])
UNPREPARED = pytest.param(False, id="unprepared")


@contextmanager
def pooled_stage(app: Any, *, prepared: bool) -> Iterator[tuple[Stage, str]]:
    """Run all of Waymark through a pooler. Yield a game, and the URL of the database through the pooler."""
    with (
        temporary_postgres() as postgres,
        pooler(postgres.url, max_prepared_statements=200 if prepared else 0) as pooled,
    ):
        urls = {
            "DATABASE_URL": pooled,
            "DATABASE_DIRECT_URL": postgres.url,
            "DATABASE_PREPARED": str(prepared).lower(),
        }
        with running_server(env={**ENVIRONMENT, **SERVER_ENVIRONMENT, **urls}) as server:
            yield set_up(server, app, postgres.url), pooled


@pytest.mark.parametrize("prepared", [UNPREPARED, PREPARED])
def test_scans_settle_and_events_arrive_through_a_pooler(app: Any, prepared: bool) -> None:
    with pooled_stage(app, prepared=prepared) as (stage, pooled):
        with stage.followed() as (player, organization):
            stage.load.hand_in_all(stage.game.scans(300))
            stage.assert_settled_once()
            stage.assert_heard_all(player, organization)
        assert has_prepared_statements(pooled) == prepared


@pytest.mark.long
@pytest.mark.parametrize("prepared", [UNPREPARED, PREPARED])
def test_pooler_that_is_paused_reconnected_and_killed_loses_no_scan(app: Any, prepared: bool) -> None:
    """As for a restart of PostgreSQL, a failover, and an operator who cuts all connections."""
    with pooled_stage(app, prepared=prepared) as (stage, pooled), stage.followed() as (player, organization):
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


def has_prepared_statements(pooled: str) -> bool:
    """Return whether a session that the pooler lends has statements of its clients."""
    with psycopg.connect(pooled, autocommit=True) as conn:
        return conn.execute("SELECT FROM pg_prepared_statements").rowcount > 0
