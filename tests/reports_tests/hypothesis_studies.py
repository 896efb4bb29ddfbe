"""Studies with hypotheses, registered, with losses that are set by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from reports.analysis.hypotheses import collect
from reports.analysis.verdicts import HypothesisRow
from reports.results.frame import StudyResults
from reports.results.sources import load_study
from reports.sections.hypotheses.section import SECTION, render
from studies.metrics import FINAL_LOSS
from studies.plan import Plan
from studies.records import Outcome
from studies.registration import Registration, register
from tests.reports_tests.conftest import Synthetic, grid_study, write_study

FACTORS = {"model.activation": ("relu", "gelu", "swiglu"), "model.norm": ("layer", "rms")}
SEEDS = (0, 1, 2, 3, 4)
NOISE = (0.0, 0.01, -0.01, 0.005, -0.005, 0.002, -0.002, 0.001)

SWIGLU, RELU = {"model.activation": "swiglu"}, {"model.activation": "relu"}
LAYER = {"model.norm": "layer"}


def hypothesis(direction: str = "lower", of: Any = None, against: Any = None, **more: Any) -> Any:
    """SwiGLU against ReLU under layer norm, unless said otherwise."""
    sides = {"of": of or {**SWIGLU, **LAYER}, "against": against or {**RELU, **LAYER}}
    return {"claim": "it is so", "direction": direction, **sides, **more}


def plan_with(hypotheses: Mapping[str, Any], seeds: Sequence[int] = SEEDS, **more: Any) -> Plan:
    return grid_study(seeds, FACTORS, hypotheses=dict(hypotheses), **more)


def registration_of(plan: Plan, *, late: bool = False) -> Registration:
    git = {"commit": "0123456789abcdef", "dirty": True}
    at = "2026-01-31T12:00:00+00:00"
    return register(plan, registered_at=at, after_first_runs=late, git=git)


def results_of(
    folder: Path,
    hypotheses: Mapping[str, Any],
    losses: Mapping[str, Sequence[float]] = {},
    synthetic: Synthetic | None = None,
    registered: Mapping[str, Any] | None = None,
    seeds: Sequence[int] = SEEDS,
) -> StudyResults:
    """Results of a study, registered as it is unless said otherwise, with losses by seed."""
    plan = plan_with(hypotheses, seeds)
    results = load_study(write_study(folder / "study", plan, synthetic))
    runs = results.runs.copy()
    for variant in results.variants:
        mine = (runs["variant"] == variant) & (runs["outcome"] == Outcome.COMPLETED)
        values = np.add(losses.get(variant, (2.0,) * len(seeds)), 0.0)
        runs.loc[mine, FINAL_LOSS] = values[runs.loc[mine, "seed"]]
    registration = registration_of(plan if registered is None else plan_with(registered, seeds))
    return replace(results, runs=runs, registration=registration)


def row_of(results: StudyResults, name: str = "h") -> HypothesisRow:
    data = collect(results)
    assert data is not None
    return next(row for row in data.rows if row.name == name)


def verdict_of(results: StudyResults, name: str = "h") -> str:
    data = collect(results)
    assert data is not None
    [table] = render(data).tables
    return str(table.data.set_index("hypothesis").loc[name, "verdict"])


def below(by: float, seeds: int = len(SEEDS)) -> dict[str, Any]:
    """SwiGLU with layer norm, below the rest by some nats."""
    return {"swiglu-layer": [2.0 - by + noise for noise in NOISE[:seeds]]}


def many(number: int) -> dict[str, Any]:
    """Hypotheses on different pairs of cells; all but the first compare what is alike."""
    pairs = [
        ({**SWIGLU, "model.norm": "rms"}, {**RELU, "model.norm": "rms"}),
        ({"model.activation": "gelu"}, RELU),
        ({"model.activation": "gelu", **LAYER}, {**RELU, **LAYER}),
    ]
    others = [hypothesis("different", of=of, against=against) for of, against in pairs]
    names = [f"h{place}" for place in range(1, number)]
    return {"h": hypothesis(), **dict(zip(names, others, strict=False))}


def sentences_of(results: StudyResults) -> tuple[str, ...]:
    exhibits = SECTION.exhibits(results)
    assert exhibits is not None
    return exhibits.sentences
