"""The expressions of the dashboards, as Prometheus gets them from Grafana."""

import json

from script import dashboards

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
