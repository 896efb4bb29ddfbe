import base64
import json
import zlib
from typing import Any

import pytest
from mlflow import MlflowClient

from ablations.diagnostic_views import DIAGNOSTIC_VIEWS
from ablations.publishing import is_tracked
from ablations.tracking_views import (
    SEED_RUNS,
    TAG,
    description,
    diagnostic_views,
    saved_views,
)
from lightning_modules.diagnostics.registry import DIAGNOSTICS
from studies.execution import ExecutionConfig
from studies.loading import load_study, shipped_studies
from studies.plan import Plan
from studies.planning import make_plan
from studies.schema import CustomModule
from tests.finished_study import FinishedStudy, finished

__all__ = ["finished"]

SENT = ExecutionConfig().tracked_taps
TAG_LIMIT = 20_000
"""Most characters of an experiment tag. Source: mlflow.utils.validation."""


def plan_of(study: str, *changes: str) -> Plan:
    loaded = load_study(study, list(changes))
    return make_plan(loaded.study, loaded.overrides)


def states(plan: Plan) -> dict[str, dict[str, Any]]:
    """The views' states, as a UI that reads the tags sees them."""
    found = {}
    for key, value in (view.tag() for view in saved_views(plan)):
        assert key.startswith(TAG)
        kind, _, packed = json.loads(value)["state"].partition(";")
        assert kind == "deflate"
        found[key.removeprefix(TAG)] = json.loads(zlib.decompress(base64.b64decode(packed)))
    return found


def charts(state: dict[str, Any]) -> list[str]:
    return [chart["metricKey"] for chart in state["compareRunCharts"]]


def test_the_default_grid_has_a_view_for_each_question() -> None:
    assert [view.name for view in saved_views(plan_of("quickstart"))] == [
        "Runs",
        "Variants",
        "Learning curves",
        "By activation",
        "By norm",
        "By placement",
        "Generated text",
        "Gradient norms",
        "Update ratios",
        "Activation scale",
        "Activation drift",
        "Activation outliers",
        "Representation collapse",
        "Hidden units",
        "Attention",
        "Batch norm",
        "Internal covariate shift",
        "Linear CKA",
    ]


def test_batch_norm_has_a_view_where_a_variant_has_it() -> None:
    assert charts(states(plan_of("quickstart"))["batch-norm"]) == [
        "batch_norm/loss_gap",
        *(
            f"batch_norm_{what}_distance/attention_norm_input_{layer:02d}"
            for what in ("mean", "variance")
            for layer in (0, 1)
        ),
    ]
    without = plan_of("quickstart", "factors={model.norm: [layer, rms]}", "report.baseline=null")
    assert "batch-norm" not in states(without)


def test_a_diagnostic_that_is_off_has_no_view() -> None:
    off = plan_of("quickstart", "diagnostics.enabled=[sliced_wasserstein]")
    assert [view.key for view in diagnostic_views(off)] == ["sliced-wasserstein"]


@pytest.mark.parametrize(
    ("layers", "blocks", "residuals"),
    [
        (1, [0], [0, 1]),
        (2, [0, 1], [0, 1, 2]),
        (12, list(range(12)), list(range(13))),
        (25, list(range(0, 25, 2)), [0, 2, 4, 6, 8, 10, 12, 15, 17, 19, 21, 23, 25]),
    ],
)
def test_a_diagnostic_is_shown_in_every_layer_or_at_even_distances(
    layers: int, blocks: list[int], residuals: list[int]
) -> None:
    views = states(plan_of("quickstart", f"model.n_layers={layers}"))
    assert charts(views["gradient-norms"]) == [
        "gradient_norm/total",
        *(f"gradient_norm/block_{i:02d}" for i in blocks),
    ]
    assert charts(views["activation-scale"]) == [
        f"{family}/residual_{i:02d}"
        for family in ("activation_rms", "activation_rms_change")
        for i in residuals
    ]


def test_a_module_of_ones_own_shows_what_does_not_depend_on_its_depth() -> None:
    plan = plan_of("quickstart")
    module = CustomModule(import_path="mine.py:Mine")
    own = plan.model_copy(update={"study": plan.study.model_copy(update={"module": module})})
    views = states(own)
    assert charts(views["update-ratios"]) == ["update_ratio/total"]
    assert charts(views["activation-scale"]) == []
    assert [s["name"] for s in views["activation-scale"]["compareRunSections"]] == [
        "activation_rms",
        "activation_rms_change",
    ]


@pytest.mark.parametrize("diagnostic", DIAGNOSTIC_VIEWS)
def test_views_show_curves_as_they_are_defined_and_tracked(diagnostic: str) -> None:
    definitions = DIAGNOSTICS[diagnostic].definitions
    for family in DIAGNOSTIC_VIEWS[diagnostic]:
        metric = definitions[family.name if family.tap else family.section(4).metrics[0]]
        assert family.scale == ("log" if metric.scale == "log" else "linear")
        assert all(is_tracked(name, SENT) for name in family.section(4).metrics)


def test_every_diagnostic_has_a_view() -> None:
    assert set(DIAGNOSTIC_VIEWS) == set(DIAGNOSTICS)


def test_charts_start_with_the_same_seeds_of_all_variants() -> None:
    for state in states(plan_of("quickstart")).values():
        by_seed = state["orderByKey"] == "params.`seed`"
        assert by_seed == ("groupBy" in state)


def test_a_description_says_how_to_see_all_runs_where_the_ui_does_not_list_them() -> None:
    assert "Load more" not in description(plan_of("quickstart", "seeds=3"), "1")
    assert "Load more" in description(plan_of("quickstart", "seeds=4"), "1")


def test_a_link_opens_a_view_by_its_key() -> None:
    view = saved_views(plan_of("quickstart"))[2]
    assert view.path("7") == (
        "#/experiments/7/runs?viewStateShareKey=learning-curves"
        "&compareRunsMode=CHART&workflowType=machine_learning"
    )


@pytest.mark.parametrize("study", shipped_studies())
def test_views_of_shipped_studies_fit_into_tags(study: str) -> None:
    plan = plan_of(study)
    texts = [*(view.tag()[1] for view in saved_views(plan)), description(plan, "1")]
    assert max(map(len, texts)) < TAG_LIMIT


def test_texts_are_compared_over_the_runs_of_one_seed() -> None:
    plan = plan_of("quickstart", "seeds=[7, 8]")
    [view] = [view for view in saved_views(plan) if view.mode == "ARTIFACT"]
    assert view.state["searchFilter"] == f"{SEED_RUNS} and params.seed = '7'"
    silent = plan_of("quickstart", "samples.prompts=[]")
    assert all(view.mode != "ARTIFACT" for view in saved_views(silent))


def test_every_view_finds_runs_that_have_what_it_shows(finished: FinishedStudy) -> None:
    client = MlflowClient(finished.uri)
    experiment = client.get_experiment_by_name(finished.plan.study.name)
    for key, state in states(finished.plan).items():
        order = f"{state['orderByKey']} ASC"
        runs = client.search_runs(
            [experiment.experiment_id], state["searchFilter"], order_by=[order]
        )
        assert len(runs) == (4 if state["searchFilter"] == SEED_RUNS else 2), key
        for run in runs:
            data = {"params": run.data.params, "tags": run.data.tags, "metrics": run.data.metrics}
            for column in state["selectedColumns"]:
                kind, _, name = column.partition(".")
                assert name.strip("`") in data[kind], (key, column)
            for chart in state.get("compareRunCharts", ()):
                assert chart["metricKey"] in run.data.metrics, (key, chart["metricKey"])
            for group in state.get("groupBy", {}).get("groupByKeys", ()):
                value = data[f"{group['mode']}s"][group["groupByData"]]
                assert f"{group['mode']}.{group['groupByData']}.{value}" in state["groupsExpanded"]


def test_every_chart_stands_in_a_section_of_its_view(finished: FinishedStudy) -> None:
    for state in states(finished.plan).values():
        sections = {section["uuid"] for section in state.get("compareRunSections", ())}
        assert {c["metricSectionId"] for c in state.get("compareRunCharts", ())} == sections
