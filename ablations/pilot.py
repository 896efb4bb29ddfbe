"""How far paired differences scatter over seeds, from runs that a study or its pilot has had."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ablations.run_directory import StudyDirectory
from studies.configuration import flatten
from studies.metrics import FINAL_LOSS
from studies.plan import Column, Plan
from studies.records import Outcome

Losses = Mapping[str, Mapping[int, float]]
"""Variant to seed to final loss."""


@dataclass(frozen=True)
class Spread:
    """The scatter of differences to the baseline, paired by seed."""

    sd: float
    """Pooled over the variants, weighted by degrees of freedom; nats per token."""
    least: float
    most: float
    """Smallest and largest SD of a variant."""
    variants: int
    seeds: int
    """Most seeds that a variant has in common with the baseline."""
    source: str
    """Which runs these are."""


PILOT_SEEDS_FROM = 20_000
"""Seeds of a pilot are counted from here: far from those of a study and of its search."""


def pilot_name(study: str) -> str:
    """What a pilot of a study is called.

    It is a study of its own: it registers nothing for the other, whose comparisons it is not in.
    """
    return f"{study}-pilot"


def pilot_settings(study: str, seeds: int) -> list[str]:
    """What `--set` makes a pilot of a study: few seeds of its own, at the shared values."""
    return [
        f"name={pilot_name(study)}",
        f"seeds={list(range(PILOT_SEEDS_FROM, PILOT_SEEDS_FROM + seeds))}",
        "protocol.search=fixed",
        "protocol.pruning=null",
        "hypotheses={}",
    ]


def known_spread(plan: Plan, directory: StudyDirectory) -> Spread | None:
    """The spread in a study's own runs, or else in those of its pilot."""
    stored = directory.load_plan() if directory.plan_path.exists() else plan
    ours = {cell.cell_key: cell.variant for cell in plan.cells}
    column: Column = "tuned" if stored.choices else "shared"
    source = f"runs of this study{_at(stored, column)} in {directory.path}"
    if found := _spread(_losses((stored, plan), column, directory, ours), plan.baseline, source):
        return found
    pilot = StudyDirectory(directory.path.parent, pilot_name(directory.study))
    if not pilot.plan_path.exists():
        return None
    stored = pilot.load_plan()
    theirs = {cell.cell_key: cell.variant for cell in stored.cells}
    changed = _differences(plan, stored)
    source = f"the pilot in {pilot.path}{f' with {changed}' if changed else ''}"
    return _spread(_losses((stored,), "shared", pilot, theirs), plan.baseline, source)


def _at(plan: Plan, column: Column) -> str:
    """Which of the compared runs these are, where there are two kinds."""
    if not plan.nuisance:
        return ""
    return " at the values that its search chose" if column == "tuned" else " at the shared values"


def _losses(
    plans: Iterable[Plan], column: Column, directory: StudyDirectory, names: Mapping[str, str]
) -> Losses:
    """Final losses of the completed runs of a column, of cells that have a name."""
    found: dict[str, dict[int, float]] = defaultdict(dict)
    for plan in plans:
        variants = {cell.variant: names.get(cell.cell_key) for cell in plan.cells}
        for run in plan.runs:
            variant = variants[run.variant]
            if variant is None or column not in plan.columns_of(run):
                continue
            if run.seed in found[variant]:
                continue
            record = directory.run(run.run_key).record()
            if record and record.outcome is Outcome.COMPLETED and FINAL_LOSS in record.summary:
                found[variant][run.seed] = record.summary[FINAL_LOSS]
    return found


def _spread(losses: Losses, baseline: str, source: str) -> Spread | None:
    reference = losses.get(baseline, {})
    differences = [
        [loss - reference[seed] for seed, loss in own.items() if seed in reference]
        for variant, own in losses.items()
        if variant != baseline
    ]
    tested = [found for found in differences if len(found) > 1]
    if not tested:
        return None
    variances = [statistics.variance(found) for found in tested]
    freedoms = [len(found) - 1 for found in tested]
    weighted = math.fsum(v * f for v, f in zip(variances, freedoms, strict=True))
    return Spread(
        sd=math.sqrt(weighted / sum(freedoms)),
        least=math.sqrt(min(variances)),
        most=math.sqrt(max(variances)),
        variants=len(tested),
        seeds=1 + max(freedoms),
        source=source,
    )


def _differences(plan: Plan, pilot: Plan) -> str:
    """The settings in which a pilot was run otherwise, factors aside."""
    ours, theirs = (flatten(p.study.base()) for p in (plan, pilot))
    keys = [key for key, value in theirs.items() if key in ours and ours[key] != value]
    return ", ".join(f"{key} = {theirs[key]}" for key in keys[:3]) + (" ..." if keys[3:] else "")
