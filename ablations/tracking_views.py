"""Views that are prepared in the MLflow UI, and the links that open them.

A view is an experiment tag in the UI's own format (read off MLflow 3.17; MLflow does not document
it). A UI that does not know the format leaves the views out of its menu, and nothing else changes.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from studies.configuration import leaf_name
from studies.designs import factor_names
from studies.plan import Plan
from studies.records import FINAL_LOSS, LEARNING_RATE, TRAIN_LOSS, VALIDATION_LOSS, series_name

TAG = "mlflow.sharedViewState."
SEED_RUNS = "tags.kind = 'run'"
VARIANT_RUNS = "tags.kind = 'variant'"

TRAINING_RUNS = "workflowType=machine_learning"
"""Without it the UI opens on pages for traces of language-model applications."""


@dataclass(frozen=True)
class View:
    """One entry of the Views menu."""

    key: str
    """What names the view in a link."""
    name: str
    mode: Literal["TABLE", "CHART"]
    state: dict[str, Any]

    def tag(self) -> tuple[str, str]:
        """Key and value of the experiment tag that stores the view."""
        packed = base64.b64encode(zlib.compress(_json(self.state).encode(), 9)).decode()
        created = {"name": self.name, "createdAt": 0, "updatedAt": 0}  # the UI shows neither
        return TAG + self.key, _json({**created, "state": "deflate;" + packed})

    def path(self, experiment_id: str) -> str:
        """Where the view is, from the root of the UI on."""
        address = f"#/experiments/{experiment_id}/runs"
        return f"{address}?viewStateShareKey={self.key}&compareRunsMode={self.mode}&{TRAINING_RUNS}"


@dataclass(frozen=True)
class Grouping:
    """Runs that share a value are drawn as one line: their mean, with a band from least to most."""

    mode: Literal["tag", "param"]
    name: str
    values: tuple[str, ...]


def saved_views(plan: Plan) -> tuple[View, ...]:
    """The views of a study, in the order of the menu."""
    factors = [leaf_name(name) for name in factor_names(plan.study)]
    outcome = ["tags.`outcome`", "tags.`leak`", f"metrics.`{FINAL_LOSS}`"]
    levels = [f"params.`{name}`" for name in factors]
    spread = [f"metrics.`aggregate/{name}`" for name in ("val_loss_sd", "completed", "survival")]
    columns = [*levels, "params.`seed`", *outcome]
    variants = Grouping("tag", "variant", tuple(cell.variant for cell in plan.cells))
    curves = {"val": [VALIDATION_LOSS], "train": [TRAIN_LOSS]}
    views = [
        View("runs", "Runs", "TABLE", _state(SEED_RUNS, columns)),
        View(
            "variants",
            "Variants",
            "TABLE",
            _state(VARIANT_RUNS, [*levels, "tags.`leak`", f"metrics.`{FINAL_LOSS}`", *spread]),
        ),
        _chart_view(
            "learning-curves",
            "Learning curves",
            {**curves, "train": [TRAIN_LOSS, LEARNING_RATE]},
            variants,
            columns,
        ),
    ]
    views += [
        _chart_view(diagnostic.replace("_", "-"), title, {diagnostic: names}, variants, columns)
        for diagnostic, title, names in _diagnostic_charts(plan)
    ]
    views += [
        _chart_view(f"by-{leaf_name(name)}", f"By {leaf_name(name)}", curves, grouping, columns)
        for name in factor_names(plan.study)
        for grouping in [_by_factor(plan, name)]
    ]
    return tuple(views)


def _diagnostic_charts(plan: Plan) -> list[tuple[str, str, list[str]]]:
    """Metric family, title and metrics of the diagnostics that the study has."""
    layers = range(max(cell.configuration["model"]["n_layers"] for cell in plan.cells))
    enabled = {d for cell in plan.cells for d in cell.configuration["diagnostics"]["enabled"]}
    blocks = [series_name("gradient_norm", "block", i) for i in layers]
    drift = [series_name("activation_drift", "residual", i) for i in (*layers, len(layers))]
    charts = {
        "gradient_norms": (
            "gradient_norm",
            "Gradient norms",
            ["gradient_norm/total", *blocks],
        ),
        "activation_drift": ("activation_drift", "Activation drift", drift),
    }
    return [chart for name, chart in charts.items() if name in enabled]


def _by_factor(plan: Plan, name: str) -> Grouping:
    leaf = leaf_name(name)
    values = dict.fromkeys(str(cell.spec(0).params().get(leaf)) for cell in plan.cells)
    return Grouping("param", leaf, tuple(values))


def _chart_view(
    key: str,
    name: str,
    charts: dict[str, list[str]],
    grouping: Grouping,
    columns: Sequence[str],
) -> View:
    """Line charts, section by section, above those that the UI makes for every metric."""
    prefix = f"{grouping.mode}.{grouping.name}."
    state = _state(SEED_RUNS, columns) | {
        "groupBy": {
            "aggregateFunction": "average",
            "groupByKeys": [{"mode": grouping.mode, "groupByData": grouping.name}],
        },
        "groupsExpanded": {prefix + value: False for value in grouping.values},
        "compareRunSections": [_section(section) for section in charts],
        "compareRunCharts": [
            _line_chart(section, metric) for section, names in charts.items() for metric in names
        ],
        "isAccordionReordered": True,  # keeps our sections first
    }
    return View(key, name, "CHART", state)


def _state(search_filter: str, columns: Sequence[str]) -> dict[str, Any]:
    """Sorted by the final loss: sorted by time, the UI folds runs into their parents."""
    return {
        "searchFilter": search_filter,
        "orderByKey": f"metrics.`{FINAL_LOSS}`",
        "orderByAsc": True,
        "selectedColumns": list(columns),
        "runsHiddenMode": "SHOW_ALL",
    }


def _section(name: str) -> dict[str, Any]:
    return {
        "uuid": f"section-{name}",
        "name": name,
        "display": True,
        "isReordered": True,
        "deleted": False,
        "isGenerated": False,
    }


def _line_chart(section: str, metric: str) -> dict[str, Any]:
    return {
        "type": "LINE",
        "uuid": f"chart-{metric}",
        "metricSectionId": f"section-{section}",
        "metricKey": metric,
        "selectedMetricKeys": [metric],
        "displayName": metric.partition("/")[2],
        "runsCountToCompare": 100,
        "isGenerated": False,
        "deleted": False,
        "lineSmoothness": 0,
        "scaleType": "linear",
        "xAxisScaleType": "linear",
        "xAxisKey": "step",
        "selectedXAxisMetricKey": "",
        "yAxisKey": "metric",
        "yAxisExpressions": [],
        "range": {},
        "ignoreOutliers": False,
        "useGlobalXaxisKey": True,
        "useGlobalLineSmoothing": True,
    }


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"))
