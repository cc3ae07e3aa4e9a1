"""Two servers of real processes for all of these tests: a whole one, and one whose workers each test brings itself."""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from script.stack import RunningServer, running_server
from script.stack.running_server import CHECKOUT
from tests.conftest import PASSWORD
from tests.support.callers import sign_in
from tests.support.polling import eventually
from tests.system import invariants
from tests.system.follower import Follower, assert_heard_all, logged
from tests.system.load import Game, Load, Scan, make_game, register
from tests.system.processes import ENVIRONMENT

PLAYERS = 20
SERVER_ENVIRONMENT: Mapping[str, str | None] = {
    "FILES_DIR": None,  # below the server's own data
    "GRPC_CACHE_TTL_SECONDS": "0",
    "GRPC_DEADLINE_SECONDS": "5",
    "RENDER_LEASE_SECONDS": "2",
}
TOKEN = re.compile(r"eyJ[\w-]+\.eyJ")


@dataclass(frozen=True)
class Stage:
    """A server, clients of it, and a game of this test's own."""

    server: RunningServer
    load: Load
    game: Game
    database_url: str

    def assert_settled_once(self) -> None:
        invariants.assert_settled_once(self.database_url, self.load.accepted)

    def follow_player(self, hang_up_after: int | None = None) -> Follower:
        """Of a player who plays like the others."""
        player = self.game.players[-1]
        return Follower(self.server.base_url, f"/ws/{player.id}", player, hang_up_after)

    @contextmanager
    def followed(self) -> Iterator[tuple[Follower, Follower]]:
        """A player and the organization are followed, and both have an event already to resume from."""
        path = f"/ws/organizations/{self.game.org_id}"
        with self.follow_player() as player, Follower(self.server.base_url, path, self.game.owner) as organization:
            self.load.hand_in(Scan(self.game.players[-1], self.game.codes["open"]))
            eventually(lambda: player.received and organization.received)
            yield player, organization

    def assert_heard_all(self, of_player: Follower, of_organization: Follower) -> None:
        assert_heard_all(of_player, lambda: logged(self.database_url, player=self.game.players[-1].id))
        assert_heard_all(of_organization, lambda: logged(self.database_url, org=self.game.org_id))


@pytest.fixture(scope="session")
def server() -> Iterator[RunningServer]:
    """All of Waymark, shared by the tests."""
    with discreet_server() as running:
        yield running


@pytest.fixture(scope="session")
def server_without_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Nothing here is judged or rendered unless a test starts workers."""
    procfile = tmp_path_factory.mktemp("system") / "Procfile"
    lines = (CHECKOUT / "Procfile").read_text().splitlines()
    procfile.write_text("".join(f"{line}\n" for line in lines if not line.startswith(("worker:", "bulk:"))))
    with discreet_server("--procfile", str(procfile)) as running:
        yield running


@contextmanager
def discreet_server(*arguments: str) -> Iterator[RunningServer]:
    """Run a server. At its end, assert that its output contains no secret."""
    with running_server(env={**ENVIRONMENT, **SERVER_ENVIRONMENT}, arguments=arguments) as running:
        secrets = secrets_of(running)
        yield running
        assert_tells_none_of(secrets, running.output())


@pytest.fixture
def stage(server: RunningServer, app: Any) -> Stage:
    return set_up(server, app)


@pytest.fixture
def stage_without_workers(server_without_workers: RunningServer, app: Any) -> Iterator[Stage]:
    """Negative controls break promises for good, so every scan goes when the test ends."""
    yield set_up(server_without_workers, app)
    with psycopg.connect(server_without_workers.urls["DATABASE_URL"], autocommit=True) as conn:
        conn.execute("TRUNCATE player_scans, encounter_attempts, events, inventory_ledger")
        conn.execute("UPDATE qr_codes SET use_count = 0")


def set_up(server: RunningServer, app: Any, database_url: str | None = None) -> Stage:
    """A new game. The players are put into PostgreSQL: to hash their passwords would take longer than most tests."""
    load = Load(server.base_url)
    database_url = database_url or server.urls["DATABASE_URL"]
    with psycopg.connect(database_url, autocommit=True) as conn:
        players = [sign_in(app, conn) for _ in range(PLAYERS)]
    return Stage(server, load, make_game(load, register(load), players), database_url)


@pytest.fixture
def log_file(tmp_path: Path) -> Callable[[str], Path]:
    """Where a process of the test's own writes."""
    return lambda name: tmp_path / f"{name}.log"


def secrets_of(server: RunningServer) -> dict[str, str]:
    passwords = {name: urlsplit(server.urls[name]).password or "" for name in ("DATABASE_URL", "REDIS_URL")}
    return passwords | {"JWT_SECRET": os.environ["JWT_SECRET"], "a player's password": PASSWORD}


def assert_tells_none_of(secrets: dict[str, str], output: str) -> None:
    assert [name for name, secret in secrets.items() if secret in output] == []
    assert not TOKEN.search(output), "the log contains a token"
