"""The expressions of the dashboards, as Prometheus gets them from Grafana."""

import json
from contextlib import suppress

from script import dashboards
from tests.support.polling import eventually
from tests.support.prometheus import Prometheus

VARIABLES = {"$namespace": ".*", "$instance": ".*", "$__rate_interval": "1m"}


def dashboard_expressions() -> list[str]:
    """Return the expression of each query of each panel."""
    return [
        target["expr"]
        for text in dashboards.render().values()
        for panel in json.loads(text)["panels"]
        for target in panel.get("targets", ())
    ]


def as_prometheus_runs_it(expression: str) -> str:
    """Return the expression with values for the variables of the dashboard."""
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    return expression


def without_data(prometheus: Prometheus, expressions: list[str]) -> list[str]:
    """Return the expressions that have no data, also not soon: rates need a second scrape."""

    def missing() -> list[str]:
        return [each for each in expressions if not prometheus.query(as_prometheus_runs_it(each))]

    with suppress(AssertionError):
        eventually(lambda: missing() == [])
    return missing()
