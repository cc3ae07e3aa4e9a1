"""All of Waymark with PgBouncer in transaction mode between its processes and PostgreSQL."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from script.stack import running_server, temporary_postgres
from tests.support.pgbouncer import Pooler, console, needs_pgbouncer, needs_tracked_statements, pooler
from tests.support.polling import eventually
from tests.system.conftest import SERVER_ENVIRONMENT, Stage, set_up
from tests.system.processes import ENVIRONMENT, halted

pytestmark = [pytest.mark.system, needs_pgbouncer]

PREPARED = pytest.param(True, id="prepared", marks=[needs_tracked_statements, pytest.mark.long])
UNPREPARED = pytest.param(False, id="unprepared")


@contextmanager
def pooled_stage(app: Any, *, prepared: bool) -> Iterator[tuple[Stage, Pooler]]:
    """Run all of Waymark through a pooler. Yield a game, and the pooler."""
    with (
        temporary_postgres() as postgres,
        pooler(postgres.url, max_prepared_statements=200 if prepared else 0) as own,
    ):
        urls = {
            "DATABASE_URL": own.url,
            "DATABASE_DIRECT_URL": postgres.url,
            "DATABASE_PREPARED": str(prepared).lower(),
        }
        with running_server(env={**ENVIRONMENT, **SERVER_ENVIRONMENT, **urls}) as server:
            yield set_up(server, app, postgres.url), own


@pytest.mark.parametrize("prepared", [UNPREPARED, PREPARED])
def test_scans_settle_and_events_arrive_through_a_pooler(app: Any, prepared: bool) -> None:
    with pooled_stage(app, prepared=prepared) as (stage, own):
        with stage.followed() as (player, organization):
            stage.load.hand_in_all(stage.game.scans(300))
            stage.assert_settled_once()
            stage.assert_heard_all(player, organization)
        assert has_prepared_statements(own.url) == prepared


@pytest.mark.long
@pytest.mark.parametrize("prepared", [UNPREPARED, PREPARED])
def test_pooler_that_is_paused_reconnected_and_killed_loses_no_scan(app: Any, prepared: bool) -> None:
    """As for a restart of PostgreSQL, a failover, and an operator who cuts all connections."""
    with pooled_stage(app, prepared=prepared) as (stage, own), stage.followed() as (player, organization):
        with stage.load.under_way(stage.game.scans(1_200)):
            stage.load.until_accepted(100)
            console(own.url, "PAUSE")
            console(own.url, "RESUME")
            stage.load.until_accepted(100)
            console(own.url, "PAUSE")
            # Requests wait up to `query_wait_timeout`.
            stage.load.until_refused()
            console(own.url, "RESUME")
            stage.load.until_accepted(100)
            console(own.url, "RECONNECT")
            stage.load.until_accepted(100)
            console(own.url, "KILL")
            stage.load.until_refused()
            console(own.url, "RESUME")
            stage.load.until_accepted(100)
            own.kill()
            stage.load.until_refused()
            own.start()
            stage.load.until_accepted(100)
            with halted([own.process.pid]):
                eventually(lambda: stage.load.ask("GET", "/healthz").status == 200)
            stage.load.until_accepted(100)
        assert set(stage.load.answers) == {202, 503}
        stage.assert_settled_once()
        stage.assert_heard_all(player, organization)


def has_prepared_statements(pooled_url: str) -> bool:
    """Return whether a session that the pooler lends has statements of its clients."""
    with psycopg.connect(pooled_url, autocommit=True) as conn:
        return conn.execute("SELECT FROM pg_prepared_statements").rowcount > 0
