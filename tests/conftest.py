"""One PostgreSQL and one Redis per test process, started in seconds; a fresh database state per test.

Tests run against the real stores. The schema is made once and copied; between tests the tables are emptied.
"""

import os
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from tests.support.shares import in_shares

# With bytecode, collecting the tests takes half of the time, and hundreds of processes compile no module.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# Settings are read when the modules under test are imported: give them what no test depends on.
os.environ.setdefault("JWT_SECRET", secrets.token_hex(32))
os.environ["WAYMARK_ENV"] = "development"
os.environ["RATE_LIMITS_ENABLED"] = "false"  # tests of limits make applications of their own
os.environ["ORGANIZATION_CREATION"] = "everyone"  # the players of most tests are guests
os.environ["SHUTDOWN_NOTICE_SECONDS"] = "0"  # no proxy is in front of most tests
os.environ["GRPC_SERVER_URL"] = "127.0.0.1:9"  # no server listens there: a test that needs a catalog starts one
for name in (
    "BROKER_URL",
    "DATABASE_DIRECT_URL",
    "DATABASE_PREPARED",
    "DATABASE_READ_URL",
    "PUBLIC_URL",
    "ALLOWED_ORIGINS",
    "TRUSTED_PROXIES",
    "SCAN_DEFAULT_WAIT",
):
    os.environ.pop(name, None)


STORES = ExitStack()


def pytest_sessionstart(session: pytest.Session) -> None:
    """Start this process's stores before anything is collected: actors bind their broker when they are imported."""
    distributes = session.config.getoption("numprocesses", None) and not hasattr(session.config, "workerinput")
    if distributes or session.config.option.collectonly:
        os.environ.update(DATABASE_URL="postgresql://not-started", REDIS_URL="redis://not-started")
        return
    from script.stack import temporary_postgres, temporary_redis
    from script.stack.files import temporary_directory

    os.environ["FILES_DIR"] = str(STORES.enter_context(temporary_directory("waymark-files-")))
    os.environ["DATABASE_URL"] = STORES.enter_context(temporary_postgres()).url
    os.environ["REDIS_URL"] = STORES.enter_context(temporary_redis()).url
    from alembic import command

    from migrations import config

    command.upgrade(config(), "head")
    from shared.infra import db
    from tests.support.database import create_empty_database

    with db.connection() as conn:
        create_empty_database(conn)


def pytest_xdist_auto_num_workers() -> int:
    """Start one worker more than there are cores: many tests wait for a process or a timeout."""
    return (os.cpu_count() or 1) + 1


def pytest_sessionfinish() -> None:
    from shared.infra import db

    db.close_pool()
    STORES.close()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--long", action="store_true", help="also fuzzing, long kill runs, big replays and all examples of properties"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Try fewer examples of each property in an ordinary run. With `--long`, try Hypothesis's default of 100.

    No example has a deadline: on a busy machine, any example takes any time.
    """
    from hypothesis import HealthCheck, settings

    settings.register_profile("long", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.register_profile("ordinary", settings.get_profile("long"), max_examples=30)
    settings.load_profile("long" if config.getoption("--long") else "ordinary")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--long"):
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(pytest.mark.skip(reason="runs with --long only"))
    items[:] = in_shares(items, getattr(config, "workerinput", {"workercount": 1})["workercount"])


@pytest.fixture(scope="session", autouse=True)
def cheap_hashes() -> None:
    from tests.support.cheap_hashes import make_hashes_cheap

    make_hashes_cheap()


@pytest.fixture(scope="session", autouse=True)
def runs_without_a_limit() -> None:
    """A worker's run ends when no row is pending, however long it takes."""
    from workers import jobs

    jobs.MAX_RUN_SECONDS = float("inf")


@pytest.fixture(autouse=True)
def visits_stay_buffered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Store visits only when a test flushes them: the thread would store those of one test during the next."""
    from shared.visits.visit_buffer import VisitBuffer

    monkeypatch.setattr(VisitBuffer, "_run", lambda _buffer: None)


@pytest.fixture(autouse=True)
def restored_logs() -> Iterator[None]:
    """Restore logging after each test: applications and command lines configure it."""
    from tests.support.logs import restored_logging

    with restored_logging():
        yield


@pytest.fixture
def clean() -> None:
    """Empty stores."""
    from shared.infra import cache, db
    from shared.infra.redis import client
    from tests.support.database import empty_database

    with db.connection() as conn:
        empty_database(conn)
    client().flushall()
    for each in cache.CACHES:
        each.local.clear()


@pytest.fixture
def conn(clean: None) -> Iterator[Any]:
    """A connection in autocommit, to empty stores."""
    from shared.infra import db

    with db.connection() as conn:
        yield conn


@pytest.fixture(scope="session")
def app() -> Iterator[Any]:
    from web.app import create_app
    from web.realtime import fanout

    app = create_app()
    yield app
    app.extensions[fanout.EXTENSION].close()


@pytest.fixture
def client(app: Any, clean: None) -> Any:
    """Flask's test client on empty stores."""
    return app.test_client()


@dataclass(frozen=True)
class Player:
    """A registered player with their tokens."""

    id: UUID
    username: str
    access_token: str
    refresh_token: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.access_token}"}


PASSWORD = "correct horse battery"


@pytest.fixture
def register(client: Any) -> Callable[..., Player]:
    """Registers players over HTTP: `register("ada")`."""

    def make(username: str | None = None) -> Player:
        username = username or f"p{secrets.token_hex(6)}"
        answer = client.post("/auth/register", json={"username": username, "password": PASSWORD})
        assert answer.status_code == 201, answer.text
        body = answer.json
        return Player(UUID(body["player_id"]), body["username"], body["access_token"], body["refresh_token"])

    return make


@pytest.fixture
def player(register: Callable[..., Player]) -> Player:
    return register()


@pytest.fixture
def staff(app: Any, conn: Any) -> Any:
    """An organization with one member of each role, all signed in, and a stranger."""
    from tests.support.callers import make_staff

    return make_staff(app, conn)


MADE_WITH = ("PAGES", "RATE_LIMITS_ENABLED", "TRUSTED_PROXIES", "REDIS_URL")
"""Settings that create_app() applies once. Requests read the others from the application."""


@pytest.fixture(scope="session")
def applications() -> dict[tuple[str | None, ...], Any]:
    """Applications by their `MADE_WITH` settings. Each is created once, because it takes a while."""
    return {}


@pytest.fixture
def serve(
    clean: None, monkeypatch: pytest.MonkeyPatch, applications: dict[tuple[str | None, ...], Any]
) -> Iterator[Callable[..., Any]]:
    """Return a function that serves an application with these settings: `serve(TRUSTED_PROXIES="1")`."""
    from shared.settings import settings
    from web.app import create_app
    from web.http import settings as app_settings

    def make(**changed: str) -> Any:
        for name, value in changed.items():
            monkeypatch.setenv(name, value)
        settings.cache_clear()
        made_with = tuple(os.environ.get(name) for name in MADE_WITH)
        if made_with not in applications:
            applications[made_with] = create_app()
        app_settings.init_app(applications[made_with], settings())
        return applications[made_with].test_client()

    yield make
    monkeypatch.undo()
    settings.cache_clear()


@pytest.fixture
def limited(serve: Callable[..., Any]) -> Callable[..., Any]:
    """The same with limits on: `limited(LOGIN="2 per minute")`; what is not named is too wide to matter."""

    def make(*, proxies: int = 0, **limits: str) -> Any:
        named = {f"RATE_LIMIT_{name}": limit for name, limit in limits.items()}
        names = ("LOGIN", "LOGIN_PER_USERNAME_AND_ADDRESS", "LOGIN_PER_USERNAME")
        wide = {f"RATE_LIMIT_{name}": "1000 per minute" for name in names}
        return serve(RATE_LIMITS_ENABLED="true", TRUSTED_PROXIES=str(proxies), **(wide | named))

    return make
