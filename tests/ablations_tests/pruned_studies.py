"""Studies that prune, and what they leave."""

from __future__ import annotations

from typing import Any

import optuna

from ablations.run_directory import StudyDirectory
from ablations.storages.sqlite import sqlite_url
from studies.plan import Plan
from tests.ablations_tests.tiny_studies import (
    STUDY,
    keys_of,
)

RATE = "training.learning_rate"
STEPWISE: dict[str, dict[str, Any]] = {
    "median": {"n_startup_trials": 1},
    "percentile": {"percentile": 40.0, "n_startup_trials": 1},
    "successive_halving": {"min_resource": 10, "reduction_factor": 2},
    "hyperband": {"min_resource": 10, "max_resource": 10, "reduction_factor": 2},
    "threshold": {"upper": 6.0, "n_warmup_steps": 10},
    "patient": {"patience": 0, "min_delta": 0.0, "wrapped_pruner": "median", "n_startup_trials": 1},
}
HOPELESS = 10.0
TRAINING = {**STUDY["training"], "warmup_steps": 20, "divergence_factor": 1e9}
PLAIN: dict[str, Any] = {
    "training": TRAINING,
    "diagnostics": {**STUDY["diagnostics"], "enabled": []},
    "seeds": 1,
}


def rates(*values: float, pruner: str = "median", **changes: Any) -> dict[str, Any]:
    """A study that compares learning rates, and prunes the runs that it compares."""
    pruning = {"pruner": pruner, "options": STEPWISE[pruner], "stage": "report"}
    return {**PLAIN, "factors": {RATE: list(values)}, "protocol": {"pruning": pruning}, **changes}


def sweep(*values: float, **protocol: Any) -> dict[str, Any]:
    search = {"kind": "sweep", "values": {RATE: list(values)}, "seeds": 1, "extend": 0}
    pruning = {"pruner": "median", "options": {"n_startup_trials": 1}}
    protocol = {"search": search, "pruning": pruning, **protocol}
    return {**PLAIN, "factors": {"model.norm": ["layer", "rms"]}, "protocol": protocol}


def outcomes(plan: Plan, directory: StudyDirectory) -> list[str]:
    """Outcome of each run, in the order of the plan."""
    records = [directory.run(key).record() for key in keys_of(plan)]
    return [record.outcome.value if record else "missing" for record in records]


def comparisons(directory: StudyDirectory) -> list[optuna.Study]:
    """The Optuna studies beside the queue."""
    url = sqlite_url(directory.ledger_path)
    names = optuna.study.get_all_study_names(url)
    return [optuna.load_study(study_name=n, storage=url) for n in names if n != directory.study]
