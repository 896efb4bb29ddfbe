"""Synthetic studies that share cells, with digests of their evaluation sets."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from reports.results.frame import StudyResults
from reports.results.joined import JoinedResults, join_results
from reports.results.sources import load_study
from studies.digests import EVALUATION_DATA
from studies.metrics import FINAL_LOSS
from tests.reports_tests.conftest import Synthetic, grid_study, write_study

SIX = {"model.activation": ("relu", "gelu", "swiglu"), "model.norm": ("rms", "layer")}
CODE = {"corpus": "python-stdlib"}


def study(
    folder: Path,
    name: str,
    *,
    seeds: Sequence[int] = (0, 1, 2, 3),
    factors: Mapping[str, Sequence[object]] = SIX,
    evaluation: str | None = None,
    synthetic: Synthetic | None = None,
    shifts: Mapping[str, float] | None = None,
    **settings: object,
) -> StudyResults:
    """A finished study.

    Args:
        folder: where it is written.
        name: of the study.
        seeds: of it.
        factors: of it, the second level of each being that of the baseline.
        evaluation: digest of its evaluation set; None records none.
        synthetic: what becomes of its runs.
        shifts: variant to the loss that each of its runs has, before a small spread over seeds.
        settings: other sections of the study file.
    """
    plan = grid_study(seeds, factors, name=name, **settings)
    write_study(folder / name, plan, synthetic)
    for run in plan.runs:
        path = folder / name / "runs" / run.run_key / "record.json"
        if not path.is_file():
            continue
        record = json.loads(path.read_text())
        if evaluation is not None:
            record["digests"] = {EVALUATION_DATA: evaluation}
        if shifts is not None and FINAL_LOSS in record["summary"]:
            spread = 0.001 * (run.seed % 3) * (1 + len(run.variant) % 3)
            record["summary"][FINAL_LOSS] = 2.0 + shifts.get(run.variant, 0.0) + spread
        path.write_text(json.dumps(record))
    return load_study(folder / name)


def joined(*studies: StudyResults) -> JoinedResults:
    return join_results(studies)


def without_runs(results: StudyResults) -> StudyResults:
    """The study before its first run."""
    runs = results.runs.assign(outcome="missing", leak=None)
    runs = runs.drop(columns=[c for c in runs if str(c).startswith("summary/")])
    return replace(results, runs=runs, records={}, histories=results.histories.iloc[:0])
