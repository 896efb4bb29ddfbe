"""Run folders with every kind of curve, written as a worker writes them, without training."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from ablations.ended_runs import new_record
from ablations.metrics_file import MetricsFile
from ablations.numerals import Kind
from ablations.run_directory import AttemptDirectory, StudyDirectory
from studies.metrics import (
    METRICS,
    ByConstruction,
    Metric,
    series_name,
)
from studies.plan import Plan, PlannedRun
from studies.planning import make_plan
from studies.records import Leak, Outcome, RunRecord
from studies.schema import Study

LAYERS = 4
STEPS = 200
FIXED = "the stream is the output of a norm"
POST_NORM = ByConstruction(
    FIXED, taps=("residual",), when={"model.placement": ("post",)}, first_index=1
)
BY_TAP: dict[str, Kind] = {
    "activation_rms": "log", "activation_rms_change": "diverging", "activation_drift": "log",
    "activation_drift_normalized": "log", "activation_kurtosis": "log", "activation_peak": "log",
}  # fmt: skip
BY_BLOCK: dict[str, Kind] = {
    "gradient_norm": "log", "update_ratio": "log", "dead_units": "linear", "hidden_zeros": "linear",
    "attention_max_logit": "linear", "attention_entropy": "linear", "ics_l2": "log",
}  # fmt: skip
TAPS = {
    "residual": LAYERS + 1,
    **dict.fromkeys(
        ["attention_norm", "attention_output", "feed_forward_norm", "feed_forward_output",
         "pre_activation", "hidden"],
        LAYERS,
    ),
}  # fmt: skip
KINDS = ("total", "embedding", "attention", "feed_forward", "norm")


def definitions() -> dict[str, Metric]:
    """Those of every run, and one of each family of curves."""
    found = dict(METRICS)
    for family, scale in (BY_TAP | BY_BLOCK).items():
        rules = (POST_NORM,) if family == "activation_rms" else ()
        found[family] = Metric(
            family.replace("_", " "), "", "neither", f"what {family} is", scale=scale,
            by_construction=rules,
        )  # fmt: skip
    return found


def plan_study(home: Path, name: str = "shown", **settings: Any) -> tuple[Plan, StudyDirectory]:
    """A study of two placements with two seeds, planned and not begun."""
    study = {
        "name": name,
        "question": "Which placement?",
        "model": {"n_layers": LAYERS},
        "training": {"max_steps": STEPS},
        "factors": {"model.placement": ("pre", "post")},
        "seeds": (0, 1),
        "report": {"baseline": {"model.placement": "pre"}},
    } | settings
    plan = make_plan(Study.model_validate(study))
    directory = StudyDirectory(home, name)
    directory.save_plan(plan, "")
    return plan, directory


def planned(plan: Plan, variant: str, seed: int = 0) -> PlannedRun:
    return next(run for run in plan.runs if (run.variant, run.seed) == (variant, seed))


def values_at(step: int) -> dict[str, float]:
    """What a run records at a step."""
    progress = step / STEPS
    values = {"train/loss": 5.5 - 3 * progress, "train/learning_rate": 0.003 * (1 - progress)}
    for family in ("gradient_norm", "update_ratio"):
        values |= {f"{family}/{kind}": math.exp(-progress * k) for k, kind in enumerate(KINDS, 1)}
    if step % 20:
        return values
    values["val/loss"] = 5.6 - 3 * progress
    for family in BY_TAP:
        for tap, count in TAPS.items():
            values |= {series_name(family, tap, i): progress * (1 + i) for i in range(count)}
    for family in BY_BLOCK:
        values |= {
            series_name(family, "block", i): 0.01 * (i + 1) + progress for i in range(LAYERS)
        }
    return values


def write_attempt(
    plan: Plan, directory: StudyDirectory, run: PlannedRun, number: int, last_step: int = STEPS
) -> AttemptDirectory:
    """An attempt that recorded values up to a step, and has not ended."""
    folder = directory.run(run.run_key)
    folder.save_spec(plan.spec(run))
    attempt = folder.attempt(number)
    attempt.start()
    file = MetricsFile(attempt.metrics_path)
    for step in range(0, last_step + 1, 5):
        file.write(step, values_at(step))
    file.close()
    return attempt


def write_run(
    plan: Plan,
    directory: StudyDirectory,
    run: PlannedRun,
    outcome: Outcome = Outcome.COMPLETED,
    **fields: Any,
) -> RunRecord:
    """A run that has ended."""
    attempt = write_attempt(plan, directory, run, 0)
    record = new_record(plan, run, 0, outcome).model_copy(
        update={
            "leak": Leak.CAUSAL,
            "summary": {"summary/val_loss": 2.6012, "summary/parameters": 117056.0},
            "definitions": definitions(),
            "facts": {"device": "cpu", "precision": "32-true"},
            "wall_time_s": 61.0,
            **fields,
        }
    )
    attempt.save_record(record)
    directory.run(run.run_key).publish(record)
    return record
