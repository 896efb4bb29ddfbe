"""What fine-tuned models score: by variant and task, against a reference, and against the loss.

The unit is a pre-training seed: fine-tunings of one model with several seeds are averaged first.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from reports.analysis.loss_correlation import (
    LEAST_VARIANTS,
    LossCorrelation,
    ScoredModel,
    correlation,
)
from reports.analysis.statistics import (
    PairedDifference,
    Summary,
    holm,
    paired_difference,
    summarize,
    two_sided_p,
)
from reports.figures.style import Layout, joint_layout_of
from reports.results.frame import StudyResults
from reports.words import level_label
from studies.metrics import FINAL_LOSS
from studies.plan import FinetuningArm, PlannedRun
from studies.records import Outcome, RunRecord
from studies.task_metrics import CONSTANT_SCORE, TASK_SCORE, TRUNCATED_PERCENT, UNKNOWN_PERCENT
from studies.tasks import task_label


@dataclass(frozen=True)
class TaskScore:
    """What one way of fine-tuning scored on one task."""

    scores: Summary
    """Over pre-training seeds."""
    planned: int
    """Pre-training seeds that there should be."""
    lost: int
    """Fine-tunings that diverged, failed or have not run."""
    difference: PairedDifference | None
    """To the reference of its row, paired by seed; None of the reference itself."""
    adjusted_p: float
    """Holm, over all differences of the table."""
    runs: tuple[str, ...]
    """Keys of those that completed."""
    compared_runs: tuple[str, ...]
    """Keys of those that the difference is of."""


@dataclass(frozen=True)
class DownstreamRow:
    """A variant, fine-tuned in one way."""

    variant: str
    arm: str
    label: str
    reference: str
    """Label of the row that it is compared with; empty for the baseline."""
    by_task: dict[str, TaskScore]


@dataclass(frozen=True)
class TaskColumn:
    """A task."""

    name: str
    label: str
    metric: str
    constant: float
    """Score of a constant prediction; NaN where no run has ended."""
    truncated_percent: float
    """Most that any run had."""
    unknown_percent: float


@dataclass(frozen=True)
class FinetuningRow:
    """One run that fine-tunes."""

    run_key: str
    label: str
    """Of its variant, and of how it is fine-tuned."""
    task: str
    """Label of its task."""
    seed: int
    finetuning_seed: int | None
    outcome: Outcome
    score: float


@dataclass(frozen=True)
class Downstream:
    """Everything that fine-tuning came to."""

    tasks: tuple[TaskColumn, ...]
    rows: tuple[DownstreamRow, ...]
    correlations: tuple[LossCorrelation, ...]
    models: tuple[ScoredModel, ...]
    """What the correlations are of."""
    layout: Layout
    correlated_arm: str
    """Label of the way of fine-tuning that they are of; empty where there is one."""
    rankable: int
    """Variants that have both a loss and a score."""
    confidence: float
    seeds: int
    """Pre-training seeds."""
    finetuning_seeds: int
    """Fine-tunings of each model on each task."""
    runs: tuple[FinetuningRow, ...]
    """Every one that is planned."""


def collect(results: StudyResults) -> Downstream | None:
    """The scores; None where the study fine-tunes nothing, or nothing has begun to."""
    if not results.finetunings:
        return None
    return _Collector(results).collected()


class _Collector:
    """One look at the fine-tunings of a study."""

    def __init__(self, results: StudyResults) -> None:
        self._results, self._plan = results, results.plan
        self._confidence = results.plan.study.report.confidence
        self._runs: dict[tuple[str, str, str], list[PlannedRun]] = {}
        for run in self._plan.finetuning_runs:
            self._runs.setdefault((run.variant, run.arm, run.task or ""), []).append(run)
        self._arms: dict[tuple[str, str], FinetuningArm] = {}
        for arm in self._plan.arms:
            self._arms.setdefault((arm.variant, arm.arm), arm)
        of_baseline = (place for place in self._arms if place[0] == self._plan.baseline)
        self._base = next(of_baseline, next(iter(self._arms)))

    def collected(self) -> Downstream:
        """All of it."""
        tasks = tuple(dict.fromkeys(arm.task for arm in self._plan.arms))
        rows = _with_adjusted([self._row(place, tasks) for place in self._arms])
        seeds = self._plan.study.finetuning.seeds
        models = tuple(self._models(tasks))
        found = [correlation(task, models) for task in tasks]
        arms = {arm for _, arm in self._arms}
        base = self._arms[self._base]
        return Downstream(
            tasks=tuple(map(self._column, tasks)),
            rows=rows,
            correlations=tuple(c for c in found if c.variants >= LEAST_VARIANTS),
            models=models,
            layout=joint_layout_of(self._results),
            correlated_arm=_arm_label(base) if len(arms) > 1 else "",
            rankable=max(c.variants for c in found),
            confidence=self._confidence,
            seeds=len(self._plan.study.seeds),
            finetuning_seeds=1 if seeds is None else len(seeds),
            runs=tuple(map(self._run, self._plan.finetuning_runs)),
        )

    def _run(self, run: PlannedRun) -> FinetuningRow:
        record = self._results.finetunings.get(run.run_key)
        return FinetuningRow(
            run.run_key,
            self._label((run.variant, run.arm)),
            task_label(run.task or ""),
            run.seed,
            run.finetuning_seed,
            record.outcome if record else Outcome.MISSING,
            record.summary.get(TASK_SCORE, math.nan) if record else math.nan,
        )

    def _row(self, place: tuple[str, str], tasks: Sequence[str]) -> DownstreamRow:
        variant, arm = place
        reference = self._reference(place)
        return DownstreamRow(
            variant,
            arm,
            self._label(place),
            self._label(reference) if reference else "",
            {
                task: self._score(place, reference, task)
                for task in tasks
                if (variant, arm, task) in self._runs
            },
        )

    def _reference(self, place: tuple[str, str]) -> tuple[str, str] | None:
        """Another way of fine-tuning: the variant's own usual one; else the baseline's."""
        variant, arm = place
        baseline, usual = self._base
        candidates = [(variant, usual)] if arm != usual else []
        candidates += [(baseline, arm), self._base]
        return next((c for c in candidates if c in self._arms and c != place), None)

    def _label(self, place: tuple[str, str]) -> str:
        variant, arm = place
        own = _arm_label(self._arms[place]) if arm else ""
        only = len(self._results.variants) == 1 and own
        return own if only else " · ".join(filter(None, [self._results.labels[variant], own]))

    def _score(
        self, place: tuple[str, str], reference: tuple[str, str] | None, task: str
    ) -> TaskScore:
        runs = self._runs[*place, task]
        scores = self._by_seed(place, task)
        against = self._by_seed(reference, task) if reference else None
        completed = self._completed_keys(runs)
        others = self._completed_keys(self._runs.get((*reference, task), ())) if reference else ()
        return TaskScore(
            scores=summarize(scores),
            planned=len({run.seed for run in runs}),
            lost=len(runs) - len(completed),
            difference=(
                None if against is None else paired_difference(scores, against, self._confidence)
            ),
            adjusted_p=math.nan,
            runs=completed,
            compared_runs=completed + others if others else (),
        )

    def _completed_keys(self, runs: Iterable[PlannedRun]) -> tuple[str, ...]:
        return tuple(run.run_key for run in runs if self._completed(run) is not None)

    def _by_seed(self, place: tuple[str, str], task: str) -> pd.Series[float]:
        """Score by pre-training seed, the mean over seeds of fine-tuning where all completed."""
        found: dict[int, list[float]] = {}
        for run in self._runs.get((*place, task), ()):
            record = self._completed(run)
            value = math.nan if record is None else record.summary.get(TASK_SCORE, math.nan)
            found.setdefault(run.seed, []).append(value)
        means = {seed: float(np.mean(values)) for seed, values in found.items()}
        return pd.Series(means, dtype=float).dropna()

    def _completed(self, run: PlannedRun) -> RunRecord | None:
        record = self._results.finetunings.get(run.run_key)
        return record if record and record.outcome is Outcome.COMPLETED else None

    def _column(self, task: str) -> TaskColumn:
        summaries = [
            record.summary
            for run in self._plan.finetuning_runs
            if run.task == task and (record := self._completed(run)) is not None
        ]

        def most(name: str) -> float:
            return max((s[name] for s in summaries if name in s), default=math.nan)

        metric = self._plan.tasks[task].metric
        constant = most(CONSTANT_SCORE)
        cut, unknown = most(TRUNCATED_PERCENT), most(UNKNOWN_PERCENT)
        return TaskColumn(task, task_label(task), metric, constant, cut, unknown)

    def _models(self, tasks: Sequence[str]) -> Iterator[ScoredModel]:
        """Every pre-trained model with a score and a loss that compares, fine-tuned as usual."""
        if len(self._results.evaluation_sets(self._results.variants)) > 1:
            return
        arm = self._base[1]
        for task, variant in itertools.product(tasks, self._results.variants):
            losses = self._results.values(FINAL_LOSS, variant)
            scores = self._by_seed((variant, arm), task)
            runs = self._runs.get((variant, arm, task), ())
            parents = self._results.runs_of(variant).set_index("seed")["run_key"]
            for seed in losses.dropna().index.intersection(scores.index):
                keys = (str(parents[seed]), *(run.run_key for run in runs if run.seed == seed))
                yield ScoredModel(
                    task, variant, self._results.labels[variant], int(seed), float(losses[seed]),
                    float(scores[seed]), keys,
                )  # fmt: skip


def _arm_label(arm: FinetuningArm) -> str:
    return " · ".join(level_label(key, level) for key, level in arm.levels.items())


def _with_adjusted(rows: Sequence[DownstreamRow]) -> tuple[DownstreamRow, ...]:
    """The rows with the p of their differences, adjusted for how many there are."""
    places = [(row, task) for row in rows for task in row.by_task]
    tested = [
        (row, task, p)
        for row, task in places
        if (difference := row.by_task[task].difference) is not None
        and math.isfinite(p := two_sided_p(difference))
    ]
    adjusted = holm([p for _, _, p in tested])
    for (row, task, _), p in zip(tested, adjusted, strict=True):
        row.by_task[task] = replace(row.by_task[task], adjusted_p=p)
    return tuple(rows)
