"""The app that Heroku creates from app.json: its settings exist, and its connections fit the plans of its stores."""

import json
import secrets
from pathlib import Path

import psycopg
import pytest
import redis

from script.stack import running_server
from script.stack.procfile import read_procfile
from shared.settings import Settings

CHECKOUT = Path(__file__).parents[2]
APP = json.loads((CHECKOUT / "app.json").read_text())
CONNECTIONS = {"heroku-postgresql:essential-2": 40, "heroku-redis:premium-0": 40}
"""https://devcenter.heroku.com/articles/heroku-postgres-plans and heroku-redis-plans, November 2026"""
GUNICORN = {"WEB_CONCURRENCY"}
BOTO3 = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
VALUES = {name: entry["value"] for name, entry in APP["env"].items() if "value" in entry}


def test_every_variable_is_a_setting() -> None:
    assert APP["env"].keys() - GUNICORN - BOTO3 <= {name.upper() for name in Settings.model_fields}


def test_settings_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in VALUES.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("JWT_SECRET", secrets.token_hex(32))
    monkeypatch.setenv("PUBLIC_URL", "https://waymark.example")
    Settings()


def test_formation_has_every_process_type_but_the_release() -> None:
    assert APP["formation"].keys() == read_procfile(CHECKOUT / "Procfile").keys() - {"release"}


def test_pools_fit_the_plan() -> None:
    """All pools when they are full, the connections of two leaders, and the release."""
    assert [addon["plan"] for addon in APP["addons"]] == list(CONNECTIONS)
    processes = sum(dynos["quantity"] for dynos in APP["formation"].values()) + int(VALUES["WEB_CONCURRENCY"]) - 1
    assert processes * int(VALUES["DATABASE_POOL_SIZE"]) + 2 + 1 <= CONNECTIONS["heroku-postgresql:essential-2"]


@pytest.mark.long
@pytest.mark.system
def test_connections_of_the_formation_fit_the_plans(tmp_path: Path) -> None:
    """Real processes with these settings, after requests to web, count as the stores do."""
    started = [name for name, dynos in APP["formation"].items() if dynos["quantity"]]
    procfile = tmp_path / "Procfile"
    commands = read_procfile(CHECKOUT / "Procfile")
    procfile.write_text("".join(f"{name}: {commands[name]}\n" for name in ["release", *started]))
    environment = {name: value for name, value in VALUES.items() if name not in ("WAYMARK_ENV", "TRUSTED_PROXIES")}
    with running_server(env=environment, arguments=("--procfile", str(procfile))) as server:
        with psycopg.connect(server.urls["DATABASE_URL"]) as conn:
            statement = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            (found,) = conn.execute(statement).fetchone() or (0,)
        assert 0 < found <= CONNECTIONS["heroku-postgresql:essential-2"]
        with redis.Redis.from_url(server.urls["REDIS_URL"]) as client:
            clients = client.client_list()
        assert 0 < len(clients) <= CONNECTIONS["heroku-redis:premium-0"]
