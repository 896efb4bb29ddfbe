from __future__ import annotations

import math
from dataclasses import replace

import pytest

from reports.overview import collect_overview
from reports.results.frame import StudyResults
from studies.metrics import OVERHEAD_PERCENT
from studies.schema import CustomModule
from tests.reports_tests.given_weights import TOLD, from_weights


def protocol(results: StudyResults) -> dict[str, str]:
    return {fact.name: fact.value for fact in collect_overview(results).protocol}


def test_the_protocol_says_how_the_built_in_model_was_trained(small: StudyResults) -> None:
    facts = protocol(small)
    assert facts["optimiser"].startswith("AdamW, β₁ 0.9")
    assert "warm-up" in facts["learning rate"]
    assert facts["seeds"] == "0, 1, 2; differences are paired by seed"


def test_of_a_module_of_ones_own_it_says_no_more_than_is_known(small: StudyResults) -> None:
    module = CustomModule(import_path="my_model.py:Mine")
    study = small.plan.study.model_copy(update={"module": module})
    facts = protocol(replace(small, plan=small.plan.model_copy(update={"study": study})))
    assert facts["optimiser"] == "the module's own, with its learning rate and schedule; clip 1"
    assert facts["module"] == "my_model.py:Mine"
    assert not {"learning rate", "model", "initialisation"} & facts.keys()
    assert "same start" not in facts["seeds"]


def test_weights_that_runs_start_from_are_an_initialisation(small: StudyResults) -> None:
    assert protocol(small)["initialisation"] == "fan-in"
    every, some = from_weights(small, *small.variants), from_weights(small, small.variants[0])
    assert protocol(every)["initialisation"] == TOLD
    assert protocol(some)["initialisation"] == f"fan-in, {TOLD}"
    planned = [replace(results, records={}) for results in (small, every, some)]
    shown = [protocol(results)["initialisation"] for results in planned]
    assert shown == ["fan-in", TOLD, f"{TOLD}, fan-in"]


@pytest.mark.parametrize(
    ("recorded", "told"),
    [
        ([2.0, 3.44, 2.5], "2.5% of the time of training steps (median over 3 runs; 2.0 to 3.4%)"),
        ([2.51, 2.49], "2.5% of the time of training steps (median over 2 runs; 2.5%)"),
        ([0.0], "0.0% of the time of training steps"),
    ],
)
def test_what_diagnostics_cost_is_told(
    small: StudyResults, recorded: list[float], told: str
) -> None:
    missing = [math.nan] * (len(small.runs) - len(recorded))
    runs = small.runs.assign(**{OVERHEAD_PERCENT: recorded + missing})
    assert protocol(replace(small, runs=runs))["diagnostics"] == told


def test_where_no_run_recorded_what_diagnostics_cost_nothing_is_said(small: StudyResults) -> None:
    assert "diagnostics" not in protocol(small)
