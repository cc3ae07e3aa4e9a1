"""Panels of a dashboard, by what they show. An expression names its filter `$F` and the range of its rates `$R`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import heatmap, stat, statetimeline, timeseries
from grafana_foundation_sdk.builders.heatmap import HeatmapColorOptions
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    Threshold,
    ThresholdsMode,
    VariableOption,
    VariableRefresh,
    VariableSort,
)
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

FILTER = 'namespace=~"$namespace",instance=~"$instance"'
RATE_RANGE = "$__rate_interval"
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")

Kind = Literal["lines", "number", "heatmap", "states"]


@dataclass(frozen=True)
class Panel:
    """One panel: its expressions by legend, and the reader's question that it answers."""

    title: str
    expressions: dict[str, str]
    about: str
    unit: str = "short"
    kind: Kind = "lines"
    width: int = 12
    good_above: float | None = None
    """A number is green from here on, and red below."""


@dataclass(frozen=True)
class Row:
    title: str
    panels: Sequence[Panel]


def expand(expression: str) -> str:
    """Return the expression with the variables of the dashboard."""
    return expression.replace("$F", FILTER).replace("$R", RATE_RANGE)


def panel_of(panel: Panel) -> Any:
    """Return the builder of a panel."""
    height = 4 if panel.kind == "number" else 8
    made = _builder(panel).title(panel.title).description(panel.about).datasource(SOURCE).height(height)
    made = made.span(panel.width)
    for number, (legend, expression) in enumerate(panel.expressions.items()):
        query = Dataquery().expr(expand(expression)).legend_format(legend).ref_id(chr(ord("A") + number))
        if panel.kind == "heatmap":
            query = query.format(PromQueryFormat.HEATMAP)
        made = made.with_target(query.range())
    return made


def _builder(panel: Panel) -> Any:
    if panel.kind == "heatmap":
        colors = HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Oranges").steps(64)
        return heatmap.Panel().calculate(False).color(colors)
    if panel.kind == "states":
        return statetimeline.Panel().unit(panel.unit)
    if panel.kind == "number":
        made = stat.Panel().unit(panel.unit)
        if panel.good_above is None:
            return made
        steps = [Threshold(value=None, color="red"), Threshold(value=panel.good_above, color="green")]
        return made.thresholds(build.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps))
    return timeseries.Panel().unit(panel.unit).min(0).fill_opacity(10).line_width(1)


def dashboard_of(uid: str, title: str, about: str, rows: Sequence[Row]) -> Any:
    """Return the builder of a dashboard with the variables datasource, namespace and instance."""
    made = (
        build.Dashboard(title)
        .uid(uid)
        .description(about)
        .tags(["waymark"])
        .timezone("browser")
        .time("now-3h", "now")
        .refresh("30s")
        .with_variable(build.DatasourceVariable("datasource").type("prometheus"))
        .with_variable(_label_variable("namespace"))
        .with_variable(_label_variable("instance"))
        .annotation(
            build.AnnotationQuery()
            .name("Deployments")
            .datasource(SOURCE)
            .enable(True)
            .icon_color("blue")
            .expr("count by (version, revision) (waymark_build_info unless waymark_build_info offset 2m)")
        )
    )
    for row in rows:
        made = made.with_row(build.Row(row.title))
        for panel in row.panels:
            made = made.with_panel(panel_of(panel))
    return made


def _label_variable(label: str) -> Any:
    # `.*` also matches series without the label: outside Kubernetes there is no namespace.
    every = VariableOption(selected=True, text="All", value="$__all")
    return (
        build.QueryVariable(label)
        .query(f"label_values(waymark_build_info, {label})")
        .datasource(SOURCE)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(every)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
    )
