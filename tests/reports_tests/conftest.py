"""Synthetic study directories: a plausible grid with every outcome in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reports.exhibits import Cell as TableCell
from reports.exhibits import Table
from reports.results.frame import StudyResults
from reports.results.sources import load_study
from studies import metrics as names
from studies.plan import Cell, Plan, PlannedRun
from studies.planning import make_plan
from studies.records import Leak, Outcome, RunRecord
from studies.schema import Study
from tests.reports_tests.synthetic_diagnostics import DEFINITIONS, diagnostics

GRID = {
    "model.activation": ("relu", "gelu", "silu", "swiglu"),
    "model.norm": ("batch", "layer", "group", "none"),
    "model.placement": ("pre", "post"),
}
EFFECTS = {"relu": 0.03, "gelu": 0.0, "silu": 0.01, "swiglu": -0.04}
EFFECTS |= {"batch": 0.05, "layer": 0.0, "group": 0.01, "none": 0.12, "pre": 0.0, "post": 0.04}
TARGET = 1.95
"""Target loss, which some variants never reach."""


@dataclass(frozen=True)
class Synthetic:
    """What the generator makes of a plan."""

    fates: Mapping[tuple[str, int], Outcome] = field(default_factory=dict)
    """(variant, seed) to outcome; the others complete."""
    leaks: Mapping[str, Leak] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)
    points: int = 40
    noise: float = 0.008


def grid_study(
    seeds: Sequence[int] = (0, 1),
    factors: Mapping[str, Sequence[object]] = GRID,
    **settings: object,
) -> Plan:
    """The plan of a full-factorial study of tiny models."""
    study = {
        "name": "norm-placement",
        "question": "Which activation, which norm, placed where?",
        "factors": {key: tuple(levels) for key, levels in factors.items()},
        "seeds": tuple(seeds),
        "report": {"baseline": {k: v[1] if k != "model.placement" else "pre"
                                for k, v in factors.items()}},
    } | settings  # fmt: skip
    return make_plan(Study.model_validate(study))


def write_study(directory: Path, plan: Plan, synthetic: Synthetic | None = None) -> Path:
    """Write a study directory as `ablate run` leaves it."""
    synthetic = synthetic or Synthetic()
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "plan.json").write_text(plan.model_dump_json())
    for run in plan.runs:
        outcome = synthetic.fates.get((run.variant, run.seed), Outcome.COMPLETED)
        if outcome is not Outcome.MISSING:
            _write_run(directory / "runs" / run.run_key, plan, run, outcome, synthetic)
    return directory


def _write_run(
    folder: Path, plan: Plan, run: PlannedRun, outcome: Outcome, synthetic: Synthetic
) -> None:
    folder.mkdir(parents=True)
    cell = plan.cell(run.variant)
    random = np.random.default_rng([run.seed, *run.run_key.encode()])
    shared = np.random.default_rng(run.seed).normal(0, 0.02)
    effect = sum(EFFECTS.get(str(level), 0.0) for level in cell.levels.values())
    final = 1.9 + effect + shared + random.normal(0, synthetic.noise)
    steps = plan.study.training.max_steps
    died = int(steps * random.uniform(0.15, 0.6)) if outcome is not Outcome.COMPLETED else steps
    rows = _curves(cell, final, steps, died, synthetic.points, random)
    summary = {names.PARAMETERS: float(cell.parameters or 0), names.LAST_TRAIN_LOSS: final}
    if outcome is Outcome.COMPLETED:
        summary |= {names.FINAL_LOSS: final, names.TOKENS_PER_S: 41_000 + random.normal(0, 900)}
        summary |= {names.LOSS_SPIKES: float(run.seed), names.GENERALIZATION_GAP: 0.1 + effect}
        if final < TARGET:
            summary[names.STEPS_TO_TARGET] = 600 + 100.0 * run.seed
    if outcome is Outcome.DIVERGED:
        summary[names.DIVERGED_AT_STEP] = float(died)
    record = RunRecord(
        run_key=run.run_key, study=plan.study.name, variant=run.variant, seed=run.seed,
        levels=cell.levels, attempt=0, outcome=outcome, summary=summary, wall_time_s=12.5,
        leak=synthetic.leaks.get(run.variant, Leak.CAUSAL),
        facts={"initialization": "fan_in", "target_loss": TARGET},
        definitions=DEFINITIONS,
        error=synthetic.errors.get(run.variant, "OutOfMemoryError: no memory left")
        if outcome is Outcome.FAILED else None,
        provenance={"git": {"commit": "0123abcd", "dirty": False}, "python": "3.11.9",
                    "packages": {"torch": "2.13.0"}, "host": "node-1"},
    )  # fmt: skip
    (folder / "record.json").write_text(record.model_dump_json())
    if outcome is not Outcome.FAILED:
        columns = dict(zip(("metric", "step", "value"), zip(*rows, strict=True), strict=True))
        pq.write_table(
            pa.table({k: list(v) for k, v in columns.items()}), folder / "history.parquet"
        )


def _curves(
    cell: Cell, final: float, steps: int, died: int, points: int, random: np.random.Generator
) -> list[tuple[str, int, float]]:
    rows: list[tuple[str, int, float]] = []
    for step in np.linspace(0, steps, points + 1).astype(int):
        if step > died:
            break
        done = step / steps
        loss = final + (4.2 - final) * np.exp(-6 * done**0.6) - 0.0025 * (4.2 - final)
        rows.append((names.VALIDATION_LOSS, int(step), float(loss)))
        if step:
            rows.append((names.TRAIN_LOSS, int(step), float(loss + random.normal(0, 0.04))))
        found = diagnostics(cell, int(step), done, random)
        rows += [(name, int(step), value) for name, value in found]
    return rows


FATES = {
    ("relu-batch-post", 0): Outcome.DIVERGED,
    ("relu-none", 0): Outcome.DIVERGED,
    ("relu-none", 1): Outcome.DIVERGED,
    ("gelu-none", 1): Outcome.DIVERGED,
    ("silu-layer-pre", 1): Outcome.FAILED,
    ("swiglu-group-post", 0): Outcome.MISSING,
    ("swiglu-group-post", 1): Outcome.MISSING,
    ("swiglu-none", 1): Outcome.MISSING,
}
LEAKS = {
    f"{activation}-batch-{placement}": Leak.IN_TRAINING
    for activation in GRID["model.activation"]
    for placement in GRID["model.placement"]
}


def column_of(table: Table, heading: str) -> list[TableCell]:
    """The cells of a table under a heading."""
    place = [column.heading for column in table.columns].index(heading)
    return [row.cells[place] for row in table.rows]


@pytest.fixture(scope="session")
def grid_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default grid, 28 cells and 2 seeds, with runs of every outcome."""
    directory = tmp_path_factory.mktemp("grid") / "norm-placement"
    return write_study(directory, grid_study(), Synthetic(FATES, LEAKS))


@pytest.fixture(scope="session")
def grid(grid_directory: Path) -> StudyResults:
    return load_study(grid_directory)


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> StudyResults:
    """Four cells, three seeds, all completed."""
    plan = grid_study(
        (0, 1, 2), {"model.activation": ("relu", "gelu"), "model.norm": ("rms", "layer")}
    )
    return load_study(write_study(tmp_path_factory.mktemp("small") / "study", plan))
