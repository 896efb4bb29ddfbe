"""The tidy results of a study: one row per planned run, and the curves of those that ran.

Whatever the runs are read from, the report sees one `StudyResults`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from reports.words import level_label
from studies.design_kinds import OneAtATime
from studies.diagnostics import TAPS
from studies.digests import EVALUATION_DATA
from studies.errors import AblationError
from studies.metrics import Metric, split_series
from studies.plan import Column, Plan
from studies.records import Leak, Outcome, RunRecord, worst_leak
from studies.registration import Registration


class UnreadableResults(AblationError):
    """Results that cannot be read as a study."""


@dataclass(frozen=True, eq=False)
class StudyResults:
    """A plan and all that is known about its runs."""

    plan: Plan
    runs: pd.DataFrame
    """One row per planned run: run_key, variant, seed, stage (`search` or `report`), outcome, leak,
    attempt, wall_time_s, error; one column per factor, called by its key (null where the factor
    means nothing), and per nuisance key; then one per summary metric. A run that was not run has
    the outcome `missing`."""
    histories: pd.DataFrame
    """Long curves: run_key, metric, step, value."""
    definitions: Mapping[str, Metric]
    """Definition by metric name or by family of curves."""
    records: Mapping[str, RunRecord]
    """Record by run key, of the runs that have one."""
    registration: Registration | None = None
    """What was said before the first run; None where nobody registered the study."""
    attempts: Mapping[str, int] = field(default_factory=dict)
    """Attempts at each run, by run key; empty where what was read does not tell."""
    finetunings: Mapping[str, RunRecord] = field(default_factory=dict)
    """Record by run key of the runs that fine-tune, which `runs` and `records` have none of."""

    @property
    def name(self) -> str:
        """Name of the study, and of its report."""
        return self.plan.study.name

    @property
    def variants(self) -> tuple[str, ...]:
        """Variants in the order of the plan."""
        return tuple(cell.variant for cell in self.plan.cells)

    @cached_property
    def labels(self) -> dict[str, str]:
        """How each variant is written for a reader; the variant's name where labels clash.

        One-at-a-time variants are called by what sets them apart from the baseline.
        """
        base = self.plan.cell(self.plan.baseline)
        differences_only = isinstance(self.plan.study.design, OneAtATime)
        labels = {}
        for cell in self.plan.cells:
            parts = [
                level_label(key, level)
                for key, level in cell.levels.items()
                if level is not None
                and not (differences_only and cell is not base and level == base.levels.get(key))
            ]
            labels[cell.variant] = " · ".join(parts) or cell.variant
        unique = len(set(labels.values())) == len(labels)
        return labels if unique else {variant: variant for variant in labels}

    def runs_of(self, variant: str) -> pd.DataFrame:
        """The rows of `runs` that are of a variant."""
        return self._runs_by_variant.get(variant, self.runs.iloc[:0])

    def records_of(self, variant: str) -> tuple[RunRecord, ...]:
        """The records of a variant's runs, in the order of `records`."""
        return self._records_by_variant.get(variant, ())

    @cached_property
    def _runs_by_variant(self) -> dict[str, pd.DataFrame]:
        """Once for all: a look through all runs for each variant would be slow with many."""
        return {str(v): runs for v, runs in self.runs.groupby("variant", sort=False)}

    @cached_property
    def _counts_by_variant(self) -> dict[str, Counter[str]]:
        """How many of each variant's runs ended how."""
        found: dict[str, Counter[str]] = {}
        for variant, outcome in zip(self.runs["variant"], self.runs["outcome"], strict=True):
            found.setdefault(variant, Counter())[outcome] += 1
        return found

    @cached_property
    def _records_by_variant(self) -> dict[str, tuple[RunRecord, ...]]:
        found: dict[str, list[RunRecord]] = {}
        for record in self.records.values():
            found.setdefault(record.variant, []).append(record)
        return {variant: tuple(records) for variant, records in found.items()}

    @cached_property
    def leaks(self) -> dict[str, Leak | None]:
        """Leak label of each variant, the worst of its runs; None where no run measured it."""
        return {v: worst_leak(r.leak for r in self.records_of(v)) for v in self.variants}

    @cached_property
    def compared(self) -> StudyResults:
        """The results of the runs that are compared: one for each variant and seed.

        With a search these are the runs at the chosen values; at the shared ones, while it has not
        chosen yet.
        """
        return self._of_column("tuned") if self.plan.choices else self.shared

    @cached_property
    def shared(self) -> StudyResults:
        """The results of the runs at the values of nuisance keys that all variants share."""
        return self._of_column("shared")

    def _of_column(self, column: Column) -> StudyResults:
        if not self.plan.nuisance:
            return self
        runs = tuple(run for run in self.plan.runs if column in self.plan.columns_of(run))
        return self._of(self.plan.model_copy(update={"runs": runs}))

    def _of(self, plan: Plan) -> StudyResults:
        """What is known of the runs of a plan with fewer of them."""
        keys = plan.run_keys
        histories = self.histories[self.histories["run_key"].isin(keys)]
        return StudyResults(
            plan,
            self.runs[self.runs["run_key"].isin(keys)].reset_index(drop=True),
            histories.reset_index(drop=True),
            self.definitions,
            {key: record for key, record in self.records.items() if key in keys},
            self.registration,
            {key: count for key, count in self.attempts.items() if key in keys},
            self.finetunings,
        )

    def evaluation_sets(self, variants: Collection[str]) -> set[str]:
        """Digests of the evaluation sets that losses of variants were measured on, as recorded."""
        return {
            found
            for variant in variants
            for record in self.records_of(variant)
            if (found := record.digests.get(EVALUATION_DATA)) is not None
        }

    def outcomes(self, variant: str | None = None) -> dict[Outcome, int]:
        """How many planned runs ended how, every outcome counted."""
        counts = self._counts_by_variant
        found = counts.values() if variant is None else [counts.get(variant, Counter())]
        return {outcome: sum(count[outcome] for count in found) for outcome in Outcome}

    def values(self, metric: str, variant: str) -> pd.Series[float]:
        """A summary metric of a variant's completed runs, by seed."""
        if metric not in self.runs:
            return pd.Series(dtype=float, index=pd.Index([], dtype="int64", name="seed"))
        runs = self.runs_of(variant)
        done = runs[runs["outcome"] == Outcome.COMPLETED].set_index("seed")
        return done[metric].astype(float).dropna()

    def counted(self, metric: str, variant: str, estimated: float | None) -> float:
        """What a variant's runs counted alike; as estimated where none has, NaN without both."""
        found = (r.summary[metric] for r in self.records_of(variant) if metric in r.summary)
        value = next(found, estimated)
        return math.nan if value is None else float(value)

    def curves(self, metric: str) -> pd.DataFrame:
        """One curve of every run that has it: run_key, variant, seed, outcome, step, value."""
        return self._with_runs(self.histories[self.histories["metric"] == metric])

    @cached_property
    def layered(self) -> dict[str, tuple[str, ...]]:
        """Family to the taps that any run recorded, in the order of a block; families by name."""
        order = {tap: place for place, tap in enumerate(TAPS)}
        found: dict[str, set[str]] = {}
        for name in self.histories["metric"].cat.categories:
            if series := split_series(str(name)):
                found.setdefault(series[0], set()).add(series[1])
        return {
            family: tuple(sorted(taps, key=lambda tap: (order.get(tap, len(order)), tap)))
            for family, taps in sorted(found.items())
        }

    def layer_curves(self, family: str) -> pd.DataFrame:
        """The curves of a family in every layer: as `curves`, with the columns `tap`, `layer`."""
        names = self.histories["metric"].cat
        series = [split_series(str(name)) or ("", "", 0) for name in names.categories]
        codes = names.codes.to_numpy()
        members = np.array([found[0] == family for found in series], dtype=bool)[codes]
        codes = codes[members]
        taps = pd.array([tap for _, tap, _ in series], dtype="str").take(codes)
        layers = np.array([layer for _, _, layer in series], dtype="int64")[codes]
        return self._with_runs(self.histories[members].assign(tap=taps, layer=layers))

    def definition(self, name: str) -> Metric:
        """Definition of a metric, of its family, or one made from its name."""
        for key in (name, name.rpartition("/")[0]):
            if key in self.definitions:
                return self.definitions[key]
        return Metric(name.replace("_", " "), "", "neither", "")

    def _with_runs(self, rows: pd.DataFrame) -> pd.DataFrame:
        keys = rows["run_key"].cat
        places = pd.Index(self.runs["run_key"]).get_indexer(keys.categories)[keys.codes]
        own = self.runs[["variant", "seed", "outcome"]].take(places).reset_index(drop=True)
        rows = rows.drop(columns="metric").astype({"run_key": str}).reset_index(drop=True)
        return pd.concat([rows, own], axis=1)
