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
from studies.diagnostics import DIAGNOSTICS
from studies.metrics import (
    FINAL_LOSS,
    LEARNING_RATE,
    TRAIN_LOSS,
    VALIDATION_LOSS,
    series_name,
)
from studies.plan import Plan
from studies.vocabulary import BATCH_NORMS

TAG = "mlflow.sharedViewState."
SEED_RUNS = "tags.kind = 'run'"
VARIANT_RUNS = "tags.kind = 'variant'"

TRAINING_RUNS = "workflowType=machine_learning"
"""Without it the UI opens on pages for traces of language-model applications."""

RUNS_LISTED = 100
"""Runs that the UI loads before it is asked for more."""


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


@dataclass(frozen=True)
class Section:
    """Charts under one heading."""

    name: str
    """A family of metrics: the UI puts the charts that it makes for the others behind ours."""
    metrics: tuple[str, ...]
    scale: Literal["linear", "log"] = "linear"


MOST_LAYERS = 13
"""Charts of a family in a view: those of twelve blocks, or as many at even distances."""


@dataclass(frozen=True)
class Family:
    """What a view shows of a family of curves: every layer of the model, or as many as are read."""

    name: str
    tap: str | None
    """What its layers are counted at; None for curves of the model as a whole alone."""
    scale: Literal["linear", "log"] = "linear"
    whole: tuple[str, ...] = ()
    """Curves of the model as a whole, which come first."""

    def section(self, layers: int | None) -> Section:
        """Charts for a number of blocks; if it is not known, those of the model as a whole."""
        names = [f"{self.name}/{name}" for name in self.whole]
        if layers is not None and self.tap is not None:
            last = layers if self.tap == "residual" else layers - 1
            count = min(last, MOST_LAYERS - 1)  # the UI draws the others behind, on linear axes
            shown = dict.fromkeys(round(i * last / max(count, 1)) for i in range(count + 1))
            names += [series_name(self.name, self.tap, index) for index in shown]
        return Section(self.name, tuple(names), self.scale)


DIAGNOSTIC_VIEWS: dict[str, tuple[Family, ...]] = {
    "gradient_norms": (Family("gradient_norm", "block", "log", ("total",)),),
    "update_ratios": (Family("update_ratio", "block", "log", ("total",)),),
    "activation_scale": (
        Family("activation_rms", "residual", "log"),
        Family("activation_rms_change", "residual"),
    ),
    "activation_drift": (
        Family("activation_drift", "residual", "log"),
        Family("activation_drift_normalized", "residual", "log"),
    ),
    "activation_outliers": (
        Family("activation_kurtosis", "residual", "log"),
        Family("activation_peak", "residual", "log"),
    ),
    "representation_collapse": (
        Family("token_similarity", "residual"),
        Family("effective_rank", "residual", "log"),
    ),
    "hidden_units": (
        Family("dead_units", "block"),
        Family("dormant_units", "block"),
        Family("hidden_zeros", "block"),
    ),
    "attention": (
        Family("attention_max_logit", "block"),
        Family("attention_entropy", "block"),
    ),
    "batch_norm": (
        Family("batch_norm", None, whole=("loss_gap",)),
        Family("batch_norm_mean_distance", "attention_norm_input", "log"),
        Family("batch_norm_variance_distance", "attention_norm_input", "log"),
    ),
    "internal_covariate_shift": (
        Family("ics_l2", "block", "log", ("head",)),
        Family("ics_cosine", "block", whole=("head",)),
    ),
    "linear_cka": (Family("cka_to_init", "residual"),),
    "sliced_wasserstein": (Family("sliced_w1", "residual", "log"),),
}
"""Diagnostic to what its view shows."""


def saved_views(plan: Plan) -> tuple[View, ...]:
    """The views of a study, in the order of the menu."""
    return (*study_views(plan), *diagnostic_views(plan))


def study_views(plan: Plan) -> tuple[View, ...]:
    """Views of what came out."""
    factors = factor_names(plan.study)
    levels = [f"params.`{leaf_name(name)}`" for name in factors]
    spread = [f"metrics.`aggregate/{name}`" for name in ("val_loss_sd", "completed", "survival")]
    of_variants = [*levels, "tags.`leak`", f"metrics.`{FINAL_LOSS}`", *spread]
    losses = (Section("val", (VALIDATION_LOSS,)), Section("train", (TRAIN_LOSS,)))
    learning = (losses[0], Section("train", (TRAIN_LOSS, LEARNING_RATE)))
    return (
        View("runs", "Runs", "TABLE", _state(SEED_RUNS, _columns(plan))),
        View("variants", "Variants", "TABLE", _state(VARIANT_RUNS, of_variants)),
        _chart_view(plan, "Learning curves", learning, _by_variant(plan)),
        *(_chart_view(plan, f"By {leaf_name(f)}", losses, _by_factor(plan, f)) for f in factors),
    )


def diagnostic_views(plan: Plan) -> tuple[View, ...]:
    """Views of what was measured inside the model: one for each diagnostic that a variant has."""
    enabled = {d for cell in plan.cells for d in cell.configuration["diagnostics"]["enabled"]}
    if not any(cell.configuration["model"]["norm"] in BATCH_NORMS for cell in plan.cells):
        enabled.discard("batch_norm")
    layers = _layers(plan)
    return tuple(
        _chart_view(
            plan,
            DIAGNOSTICS[diagnostic].label,
            [family.section(layers) for family in families],
            _by_variant(plan),
        )
        for diagnostic, families in DIAGNOSTIC_VIEWS.items()
        if diagnostic in enabled
    )


def description(plan: Plan, experiment_id: str) -> str:
    """Text above the runs of a study, of which the UI folds away all but the first line."""
    rows = [
        " · ".join(f"[{view.name}]({view.path(experiment_id)})" for view in views)
        for views in (study_views(plan), diagnostic_views(plan))
    ]
    more = len(plan.runs) > RUNS_LISTED
    hint = f"Charts start with {RUNS_LISTED} runs; *Load more*, below the list, adds the others."
    return "\n\n".join(filter(None, [*rows, hint if more else "", plan.study.question]))


def _layers(plan: Plan) -> int | None:
    """Blocks of the deepest variant; None for a module of one's own, which nobody has counted."""
    if plan.study.module is not None:
        return None
    return int(max(cell.configuration["model"]["n_layers"] for cell in plan.cells))


def _columns(plan: Plan) -> list[str]:
    levels = [f"params.`{leaf_name(name)}`" for name in factor_names(plan.study)]
    outcome = ["tags.`outcome`", "tags.`leak`", f"metrics.`{FINAL_LOSS}`"]
    return [*levels, "params.`seed`", *outcome]


def _by_variant(plan: Plan) -> Grouping:
    return Grouping("tag", "variant", tuple(cell.variant for cell in plan.cells))


def _by_factor(plan: Plan, name: str) -> Grouping:
    leaf = leaf_name(name)
    values = dict.fromkeys(str(cell.spec(0).params().get(leaf)) for cell in plan.cells)
    return Grouping("param", leaf, tuple(values))


def _chart_view(plan: Plan, name: str, sections: Sequence[Section], grouping: Grouping) -> View:
    """Line charts, section by section, above those that the UI makes for every metric.

    The first runs are all that the UI draws until it is asked for more. Sorted by the final loss
    they would be the best ones, and groups would be compared by their luckiest seeds.
    """
    prefix = f"{grouping.mode}.{grouping.name}."
    state = _state(SEED_RUNS, _columns(plan), order="params.`seed`") | {
        "groupBy": {
            "aggregateFunction": "average",
            "groupByKeys": [{"mode": grouping.mode, "groupByData": grouping.name}],
        },
        "groupsExpanded": {prefix + value: False for value in grouping.values},
        "compareRunSections": [_section(section.name) for section in sections],
        "compareRunCharts": [
            _line_chart(section, metric) for section in sections for metric in section.metrics
        ],
        "isAccordionReordered": True,  # keeps our sections first
    }
    return View(name.lower().replace(" ", "-"), name[0].upper() + name[1:], "CHART", state)


def _state(
    search_filter: str, columns: Sequence[str], order: str = f"metrics.`{FINAL_LOSS}`"
) -> dict[str, Any]:
    """Sorted by anything but time, by which the UI folds runs into their parents."""
    return {
        "searchFilter": search_filter,
        "orderByKey": order,
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


def _line_chart(section: Section, metric: str) -> dict[str, Any]:
    return {
        "type": "LINE",
        "uuid": f"chart-{metric}",
        "metricSectionId": f"section-{section.name}",
        "metricKey": metric,
        "selectedMetricKeys": [metric],
        "displayName": metric.partition("/")[2],
        "runsCountToCompare": 100,
        "isGenerated": False,
        "deleted": False,
        "lineSmoothness": 0,
        "scaleType": section.scale,
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
