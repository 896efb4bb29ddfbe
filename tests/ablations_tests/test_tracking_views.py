import base64
import json
import zlib
from typing import Any

import pytest
from mlflow import MlflowClient

from ablations.tracking_views import SEED_RUNS, TAG, saved_views
from studies.loading import load_study, shipped_studies
from studies.plan import Plan
from studies.planning import make_plan
from tests.finished_study import FinishedStudy, finished

__all__ = ["finished"]


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


def test_the_default_grid_has_a_view_for_each_question() -> None:
    names = [view.name for view in saved_views(plan_of("quickstart"))]
    assert names[:5] == [
        "Runs",
        "Variants",
        "Learning curves",
        "Gradient norms",
        "Activation drift",
    ]
    assert names[5:] == ["By activation", "By norm", "By placement"]


def test_a_diagnostic_that_is_off_has_no_view() -> None:
    plan = plan_of("quickstart", "diagnostics.enabled=[gradient_norms]")
    assert "activation-drift" not in states(plan)
    assert "gradient-norm" in states(plan)


def test_a_link_opens_a_view_by_its_key() -> None:
    view = saved_views(plan_of("quickstart"))[2]
    assert view.path("7") == (
        "#/experiments/7/runs?viewStateShareKey=learning-curves"
        "&compareRunsMode=CHART&workflowType=machine_learning"
    )


@pytest.mark.parametrize("study", shipped_studies())
def test_views_of_shipped_studies_fit_into_a_tag(study: str) -> None:
    for view in saved_views(plan_of(study)):
        assert len(view.tag()[1]) < TAG_LIMIT


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
