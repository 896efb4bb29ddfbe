"""Pruners by name, and what they do to runs that are really trained."""

from __future__ import annotations

import inspect
import os
import signal
from pathlib import Path
from typing import Any

import optuna
import pytest

import ablations.pruning
from ablations.ledger import RunState
from ablations.listing import statuses_of
from ablations.pruning import PRUNERS, RunPruning, build_pruner, run_pruning
from ablations.run_directory import StudyDirectory
from ablations.storage import sqlite_url
from studies import pruners
from studies.metrics import (
    FINAL_LOSS,
    LAST_VALIDATION_LOSS,
    PRUNED_AT_STEP,
    STEPS,
    VALIDATION_LOSS,
)
from studies.plan import Plan, PlannedRun
from studies.records import Outcome
from tests.ablations_tests.tiny_studies import (
    STUDY,
    keys_of,
    numbers,
    queue,
    states,
    trials,
    work,
)

RATE = "training.learning_rate"
HOPELESS = 1e-7
STEPWISE: dict[str, dict[str, Any]] = {
    "median": {"n_startup_trials": 1},
    "percentile": {"percentile": 40.0, "n_startup_trials": 1},
    "successive_halving": {"min_resource": 10, "reduction_factor": 2},
    "hyperband": {"min_resource": 10, "max_resource": 10, "reduction_factor": 2},
    "threshold": {"upper": 5.0, "n_warmup_steps": 10},
    "patient": {"patience": 0, "min_delta": 0.0, "wrapped_pruner": "median", "n_startup_trials": 1},
}
REAL = {
    "median": optuna.pruners.MedianPruner,
    "percentile": optuna.pruners.PercentilePruner,
    "successive_halving": optuna.pruners.SuccessiveHalvingPruner,
    "hyperband": optuna.pruners.HyperbandPruner,
    "threshold": optuna.pruners.ThresholdPruner,
    "patient": optuna.pruners.PatientPruner,
    "wilcoxon": optuna.pruners.WilcoxonPruner,
}


def test_every_pruner_of_the_vocabulary_is_there() -> None:
    assert set(PRUNERS) == set(pruners.PRUNERS) == set(REAL) == {*STEPWISE, "wilcoxon"}


@pytest.mark.parametrize("name", REAL)
def test_options_are_those_of_the_pruner_itself(name: str) -> None:
    real = inspect.signature(REAL[name]).parameters
    assert set(real) == set(pruners.PRUNERS[name].options)
    for option, parameter in real.items():
        ours = pruners.PRUNERS[name].options[option]
        if option != "wrapped_pruner" and parameter.default not in (inspect.Parameter.empty, None):
            assert ours.takes(parameter.default), option


@pytest.mark.parametrize("name", [*STEPWISE, "wilcoxon"])
def test_the_least_that_an_option_takes_is_taken_and_less_is_not(name: str) -> None:
    level = pruners.PRUNERS[name]
    for option, takes in level.options.items():
        given = {"percentile": 50.0, "patience": 1, "upper": 1e9}
        own = {k: v for k, v in given.items() if k in level.options} | STEPWISE.get(name, {})
        own = {**own, "max_resource": 100} if name == "hyperband" else own
        if not takes.number or option == "lower":
            continue
        if option == "upper":
            own = {}
        least = takes.least if takes.least > -1e9 else 0
        build_pruner(name, {**own, option: int(least)})
        if name != "hyperband" and takes.least > -1e9:
            with pytest.raises(ValueError):  # noqa: PT011
                build_pruner(name, {**own, option: int(least) - 1})


def sweep(pruner: str, options: dict[str, Any], **search: Any) -> dict[str, Any]:
    rates = [3e-3, 1e-2, 3e-2, HOPELESS]
    return {
        "search": {"kind": "sweep", "values": {RATE: rates}, "seeds": 1, "extend": 0, **search},
        "pruning": {"pruner": pruner, "options": options},
    }


def one_variant(protocol: dict[str, Any], **changes: Any) -> dict[str, Any]:
    diagnostics = {**STUDY["diagnostics"], "enabled": []}
    return {"factors": {"model.norm": ["rms"]}, "seeds": 1, "diagnostics": diagnostics,
            "protocol": protocol, **changes}  # fmt: skip


def hopeless_run(plan: Plan) -> PlannedRun:
    return max((r for r in plan.runs if r.stage == "search"), key=lambda r: r.settings[RATE] < 1e-5)


def optuna_studies(directory: StudyDirectory) -> list[optuna.Study]:
    """The studies of the ledger's storage beside the queue."""
    url = sqlite_url(directory.ledger_path)
    names = optuna.study.get_all_study_names(url)
    return [
        optuna.load_study(study_name=name, storage=url) for name in names if name != directory.study
    ]


@pytest.mark.parametrize("name", STEPWISE)
def test_each_pruner_ends_a_hopeless_run(name: str, tmp_path: Path) -> None:
    study = one_variant(sweep(name, STEPWISE[name]))
    # grown by search below
    plan, directory, ledger = queue(tmp_path, **study)
    keys = [r.run_key for r in sorted(plan.runs, key=lambda r: r == hopeless_run(plan))]
    work(directory)
    record = directory.run(hopeless_run(plan).run_key).record()
    assert record is not None
    assert record.outcome is Outcome.PRUNED
