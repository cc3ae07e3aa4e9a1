"""The rules, dashboards and documents of monitoring agree with the metrics that Waymark exports."""

import importlib
import json
import re
import shutil
import subprocess
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY
from prometheus_client.metrics import MetricWrapperBase

from script import dashboards
from script.stack.running_server import CHECKOUT
from tests.monitoring.expressions import as_prometheus_runs_it, dashboard_expressions
from tests.support.prometheus import PROMTOOL, needs_promtool
from workers import installation_metrics

MONITORING = CHECKOUT / "monitoring"
RULES = sorted((MONITORING / "rules").glob("*[!t].yml"))
PROCESSES = (
    *("web.app", "web.middleware", "workers.main", "workers.scheduler", "workers.relay"),
    *("workers.catalog_server", "workers.metrics_server", "shared.infra.storage.s3"),
)
SUFFIX = re.compile(r"_(bucket|count|sum)$")
NAME = re.compile(r"\bwaymark_[a-z_]+")


@cache
def exported() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return the kind and the labels of each metric of Waymark's processes."""
    for module in PROCESSES:
        importlib.import_module(module)
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    for metric in REGISTRY._collector_to_names:
        if isinstance(metric, MetricWrapperBase) and metric._name.startswith("waymark_"):
            name = f"{metric._name}_total" if metric._type == "counter" else metric._name
            found[name] = (str(metric._type), tuple(metric._labelnames))
    for name in installation_metrics.HELP:
        found[name] = ("gauge", ("queue",) if "backlog" in name else ())
    return found


def rules() -> list[dict[str, Any]]:
    return [rule for path in RULES for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]


def names_in(expressions: Iterable[str]) -> set[str]:
    found = {name for expression in expressions for name in NAME.findall(expression)}
    return {name if name in exported() else SUFFIX.sub("", name) for name in found}


def test_every_named_metric_is_exported() -> None:
    named = names_in([str(rule["expr"]) for rule in rules()] + dashboard_expressions())
    assert len(named) > 30
    assert named - exported().keys() == set()


def test_every_metric_is_documented_with_its_labels() -> None:
    text = (CHECKOUT / "docs" / "monitoring.md").read_text()
    documented = {
        name: (kind, tuple(re.findall(r"`(\w+)`", labels)))
        for name, kind, labels in re.findall(r"^\| `(waymark_\w+)` \| (\w+) \| ([^|]+) \|", text, re.MULTILINE)
    }
    assert documented == exported()


def test_every_alert_is_documented_and_tested() -> None:
    alerts = {rule["alert"]: rule["labels"]["severity"] for rule in rules() if "alert" in rule}
    assert set(alerts.values()) == {"page", "ticket"}
    assert all(rule["annotations"]["summary"] for rule in rules() if "alert" in rule)
    text = (CHECKOUT / "docs" / "monitoring.md").read_text()
    section = text.partition("## Alerts")[2].partition("## Metrics")[0]
    assert alerts.keys() - set(re.findall(r"`(\w+)`", section)) == set()
    tested: dict[str, set[bool]] = {}
    for path in (MONITORING / "rules").glob("*_test.yml"):
        for test in yaml.safe_load(path.read_text())["tests"]:
            (case,) = test["promql_expr_test"]
            (alert,) = re.findall(r'alertname="(\w+)"', case["expr"])
            tested.setdefault(alert, set()).add(bool(case["exp_samples"]))
    assert tested == {alert: {True, False} for alert in alerts}


def test_dashboards_are_current() -> None:
    assert dashboards.outdated_files() == []
    for path in dashboards.DIRECTORY.glob("*.json"):
        json.loads(path.read_text())
    assert {path.name for path in dashboards.DIRECTORY.iterdir()} == dashboards.render().keys()


def test_outdated_dashboard_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dashboards, "DIRECTORY", tmp_path)
    assert dashboards.main([]) is None
    assert dashboards.main(["--check"]) is None
    (tmp_path / "overview.json").write_text("{}")
    assert dashboards.main(["--check"]) == "Not current: overview.json. Run script/dashboards."


@needs_promtool
def test_rules_fire_and_stay_silent_as_expected(tmp_path: Path) -> None:
    """Its input has a firing and a silent case of each alert. The same command accepts the configurations."""
    page = (CHECKOUT / "docs" / "monitoring.md").read_text()
    (documented,) = re.findall(r"prometheus\.yml <<END\n(.*?)\nEND\n", page, re.DOTALL)
    (tmp_path / "prometheus.yml").write_text(documented)
    for config in (MONITORING, CHECKOUT / "deploy", tmp_path):
        promtool("check", "config", "--syntax-only", str(config / "prometheus.yml"))
    promtool("check", "rules", *map(str, RULES))
    promtool("test", "rules", *map(str, sorted((MONITORING / "rules").glob("*_test.yml"))))


@needs_promtool
def test_promtool_finds_a_wrong_expectation(tmp_path: Path) -> None:
    """Negative control: the test of rules is able to fail."""
    shutil.copy(MONITORING / "rules" / "stores.yml", tmp_path)
    cases = yaml.safe_load((MONITORING / "rules" / "stores_test.yml").read_text())
    cases["tests"] = cases["tests"][:1]
    cases["tests"][0]["promql_expr_test"][0]["exp_samples"] = []
    (tmp_path / "stores_test.yml").write_text(yaml.safe_dump(cases))
    with pytest.raises(AssertionError, match="FAILED"):
        promtool("test", "rules", str(tmp_path / "stores_test.yml"))


@needs_promtool
def test_panels_have_valid_expressions(tmp_path: Path) -> None:
    expressions = [as_prometheus_runs_it(expression) for expression in dashboard_expressions()]
    recorded = [{"record": f"panel:{number}", "expr": each} for number, each in enumerate(expressions)]
    (tmp_path / "panels.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": recorded}]}))
    promtool("check", "rules", str(tmp_path / "panels.yml"))


def promtool(*arguments: str) -> None:
    done = subprocess.run([PROMTOOL, *arguments], capture_output=True, text=True, timeout=120, cwd=CHECKOUT)
    assert done.returncode == 0, done.stdout + done.stderr
