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

from ablations.diagnostic_views import DIAGNOSTIC_VIEWS, Section
from studies.configuration import leaf_name
from studies.designs import cell_factors
from studies.diagnostics import DIAGNOSTICS
from studies.metrics import (
    FINAL_LOSS,
    LEARNING_RATE,
    TRAIN_LOSS,
    VALIDATION_LOSS,
)
from studies.plan import Column, Plan
from studies.task_metrics import TASK_SCORE
from studies.vocabulary import BATCH_NORMS

TAG = "mlflow.sharedViewState."
SEED_RUNS = "tags.kind = 'run'"
SEARCH_RUNS = f"{SEED_RUNS} and tags.stage = 'search'"
FINETUNING_RUNS = "tags.kind = 'finetuning'"
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
    mode: Literal["TABLE", "CHART", "ARTIFACT"]
    """How runs are compared: in a list, by charts, or by the tables that they have as artifacts."""
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
    return (*study_views(plan), *diagnostic_views(plan))


def study_views(plan: Plan) -> tuple[View, ...]:
    """Views of what came out."""
    factors = cell_factors(plan.study)
    levels = [f"params.`{leaf_name(name)}`" for name in factors]
    spread = [f"metrics.`aggregate/{name}`" for name in ("val_loss_sd", "completed", "survival")]
    of_variants = [*levels, "tags.`leak`", f"metrics.`{FINAL_LOSS}`", *spread]
    losses = (Section("val", (VALIDATION_LOSS,)), Section("train", (TRAIN_LOSS,)))
    learning = (losses[0], Section("train", (TRAIN_LOSS, LEARNING_RATE)))
    return (
        View("runs", "Runs", "TABLE", _state(compared_runs(plan), _columns(plan))),
        View("variants", "Variants", "TABLE", _state(VARIANT_RUNS, of_variants)),
        _chart_view(plan, "Learning curves", learning, _by_variant(plan)),
        *(_chart_view(plan, f"By {leaf_name(f)}", losses, _by_factor(plan, f)) for f in factors),
        *_search_views(plan),
        *_text_views(plan),
        *_finetuning_views(plan),
    )


def compared_runs(plan: Plan) -> str:
    """The filter of the runs that are compared, as the report compares them."""
    column: Column = "tuned" if plan.choices else "shared"
    return f"{SEED_RUNS} and tags.column LIKE '%{column}%'" if plan.nuisance else SEED_RUNS


def _search_views(plan: Plan) -> tuple[View, ...]:
    """The runs of a search, and what it came to for each variant."""
    if not plan.nuisance:
        return ()
    keys = [leaf_name(key) for key in plan.nuisance]
    levels = [f"params.`{leaf_name(name)}`" for name in cell_factors(plan.study)]
    tried = [*levels, *(f"params.`{key}`" for key in keys), "params.`seed`", "tags.`outcome`"]
    numbers = ("lowest_loss", "sensitivity", "trials", "diverged")
    came_to = [
        *levels,
        "tags.`chosen`",
        "tags.`at_edge`",
        *(f"metrics.`search/{name}`" for name in numbers),
        f"metrics.`{FINAL_LOSS}`",
        "metrics.`aggregate/shared_val_loss`",
    ]
    return (
        View("search", "Search", "TABLE", _state(SEARCH_RUNS, [*tried, f"metrics.`{FINAL_LOSS}`"])),
        View("choices", "Choices", "TABLE", _state(VARIANT_RUNS, came_to)),
    )


def _text_views(plan: Plan) -> tuple[View, ...]:
    """What the runs of one seed generated: a row for each prompt, a column for each run."""
    if plan.study.samples.prompts == ():
        return ()
    runs = f"{compared_runs(plan)} and params.seed = '{plan.study.seeds[0]}'"
    return (View("generated-text", "Generated text", "ARTIFACT", _state(runs, _columns(plan))),)


def _finetuning_views(plan: Plan) -> tuple[View, ...]:
    """What the fine-tuned models score: a row for each run of the second stage."""
    if not plan.arms:
        return ()
    levels = [f"params.`{leaf_name(name)}`" for name in cell_factors(plan.study)]
    factors = [f"params.`{key}`" for key in plan.arms[0].levels]
    scored = ["params.`seed`", "tags.`outcome`", f"metrics.`{TASK_SCORE}`"]
    columns = ["tags.`task`", *levels, *factors, *scored]
    return (View("fine-tuning", "Fine-tuning", "TABLE", _state(FINETUNING_RUNS, columns)),)


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
    levels = [f"params.`{leaf_name(name)}`" for name in cell_factors(plan.study)]
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
    state = _state(compared_runs(plan), _columns(plan), order="params.`seed`") | {
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
