"""Views that are prepared in the MLflow UI: runs, variants, by factor, curves, norms, drift.

They are experiment tags in the UI's own format (read off MLflow 3.17; MLflow does not document it).
A UI that does not know the format ignores them.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Sequence
from typing import Any

from studies.configuration import leaf_name
from studies.designs import factor_names
from studies.plan import Plan
from studies.records import FINAL_LOSS, LEARNING_RATE, TRAIN_LOSS, VALIDATION_LOSS, series_name

TAG = "mlflow.sharedViewState."
SEED_RUNS = "tags.kind = 'run'"
VARIANT_RUNS = "tags.kind = 'variant'"


def saved_views(plan: Plan) -> dict[str, str]:
    """Experiment tags, one for each view."""
    factors = [leaf_name(name) for name in factor_names(plan.study)]
    columns = [f"params.`{name}`" for name in [*factors, "seed"]]
    columns += ["tags.`outcome`", f"metrics.`{FINAL_LOSS}`"]
    layers = range(max(cell.configuration["model"]["n_layers"] for cell in plan.cells))
    blocks = [series_name("gradient_norm", "block", i) for i in layers]
    drift = [series_name("activation_drift", "residual", i) for i in (*layers, len(layers))]
    by_variant = ("tag", "variant")
    views = {
        "runs": _view("Seed runs", SEED_RUNS, columns, {}),
        "variants": _view("Variants, means over seeds", VARIANT_RUNS, columns, {}),
        "learning-curves": _view(
            "Learning curves by variant",
            SEED_RUNS,
            columns,
            {"train": [TRAIN_LOSS, LEARNING_RATE], "val": [VALIDATION_LOSS]},
            by_variant,
        ),
        "gradient-norms": _view(
            "Gradient norms by variant",
            SEED_RUNS,
            columns,
            {"gradient_norm": ["gradient_norm/total", *blocks]},
            by_variant,
        ),
        "activation-drift": _view(
            "Activation drift by variant",
            SEED_RUNS,
            columns,
            {"activation_drift": drift},
            by_variant,
        ),
    }
    for name in factors:
        curves = {"val": [VALIDATION_LOSS], "train": [TRAIN_LOSS]}
        views[f"by-{name}"] = _view(f"By {name}", SEED_RUNS, columns, curves, ("param", name))
    return {TAG + key: _encoded(view) for key, view in views.items()}


def _view(
    name: str,
    search_filter: str,
    columns: Sequence[str],
    charts: dict[str, list[str]],
    group: tuple[str, str] | None = None,
) -> dict[str, Any]:
    """A view of the runs that a filter finds; without charts the UI makes its own."""
    state: dict[str, Any] = {
        "searchFilter": search_filter,
        "orderByKey": f"metrics.`{FINAL_LOSS}`",
        "orderByAsc": True,
        "selectedColumns": ["attributes.`Source`", *columns],
    }
    if group is not None:
        mode, data = group
        keys = [{"mode": mode, "groupByData": data}]
        state["groupBy"] = {"aggregateFunction": "average", "groupByKeys": keys}
    if charts:
        state["compareRunSections"] = [_section(section) for section in charts]
        state["compareRunCharts"] = [
            _line_chart(section, metric)
            for section, metrics in charts.items()
            for metric in metrics
        ]
    return {"name": name, "state": state}


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


def _encoded(view: dict[str, Any]) -> str:
    state = zlib.compress(_json(view["state"]).encode(), 9)
    return _json(
        {
            "name": view["name"],
            "createdAt": 0,
            "updatedAt": 0,
            "state": "deflate;" + base64.b64encode(state).decode(),
        }
    )


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"))
