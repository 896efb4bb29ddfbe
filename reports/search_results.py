"""What the search of each variant saw: losses by setting, and sensitivity to the learning rate."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from reports.frame import StudyResults
from reports.style import Layout, layout_of
from reports.words import leaf
from studies.metrics import INITIAL_LOSS
from studies.plan import Choice, Plan
from studies.protocol import Fixed, Sweep
from studies.records import Outcome
from studies.search import clipped_loss, spans


@dataclass(frozen=True)
class VariantSearch:
    """The search of one variant."""

    variant: str
    label: str
    color: str
    choice: Choice | None
    """None while runs of the search are missing."""
    lowest: float
    """l*: least mean over the search seeds of min(final loss, l0), nats per token."""
    initial: float
    """l0: loss at initialisation, mean over the search seeds."""
    sensitivity: float
    """S: mean over the learning rates of min(final loss, l0) - l*, nats per token; NaN where the
    search is no sweep of the learning rate, has not ended, or pruned a run."""
    by_seed: tuple[float, ...]
    """S of each search seed alone."""
    trials: int
    runs: int
    """Runs of the search that have ended."""
    diverged: int
    pruned: int


@dataclass(frozen=True)
class SearchResults:
    """The searches of all variants."""

    keys: tuple[str, ...]
    """Nuisance keys."""
    axis: str | None
    """The key that losses are drawn over: the learning rate, or else the first that has numbers."""
    points: pd.DataFrame
    """One row per run of the search that has ended: variant, label, trial, seed, one column per
    nuisance key, outcome, loss (clipped at the loss of initialisation; of a pruned run the last
    one, NaN where it was never begun)."""
    rows: tuple[VariantSearch, ...]
    layout: Layout
    seeds: int
    is_sweep: bool
    kind: str
    """Sweep, or the sampler's name."""
    outcomes: dict[Outcome, int]
    """Of the runs of the search."""
    tried: int
    """Learning rates that S is the mean over; 0 where there is no S."""


def collect(results: StudyResults) -> SearchResults | None:
    """Losses of every run of the search, and the sums over them; None without a search."""
    plan = results.plan
    search = plan.study.protocol.search
    if isinstance(search, Fixed):
        return None
    points = _points(results)
    axis = _axis(plan)
    layout = layout_of(results)
    sweeps_rate = isinstance(search, Sweep) and axis is not None and leaf(axis) == "learning_rate"
    rows = tuple(
        _variant_search(
            results, variant, layout.styles[variant].color, points, axis if sweeps_rate else None
        )
        for variant in results.variants
    )
    return SearchResults(
        keys=plan.nuisance,
        axis=axis,
        points=points,
        rows=rows,
        layout=layout,
        seeds=len(search.seeds),
        is_sweep=isinstance(search, Sweep),
        kind="sweep" if isinstance(search, Sweep) else search.sampler,
        outcomes=_outcomes(results),
        tried=points[axis].nunique() if sweeps_rate and axis is not None else 0,
    )


def _points(results: StudyResults) -> pd.DataFrame:
    plan = results.plan
    search = plan.study.protocol.search
    assert not isinstance(search, Fixed)
    runs = {(r.variant, r.seed, str(r.settings)): r for r in plan.runs if r.stage == "search"}
    rows = []
    for trial in plan.trials:
        for seed in search.seeds:
            record = results.records.get(runs[trial.variant, seed, str(trial.settings)].run_key)
            if record is None or record.outcome is Outcome.FAILED:
                continue
            row = {
                "variant": trial.variant,
                "label": results.labels[trial.variant],
                "trial": trial.number,
                "seed": seed,
                **trial.settings,
                "outcome": record.outcome.value,
                "loss": clipped_loss(record),
                "initial_loss": record.summary.get(INITIAL_LOSS, math.nan),
            }
            rows.append(row)
    columns = ["variant", "label", "trial", "seed", *plan.nuisance]
    return pd.DataFrame(rows, columns=[*columns, "outcome", "loss", "initial_loss"])


def _outcomes(results: StudyResults) -> dict[Outcome, int]:
    counts = results.runs[results.runs["stage"] == "search"]["outcome"].value_counts()
    return {outcome: int(counts.get(outcome.value, 0)) for outcome in Outcome}


def _axis(plan: Plan) -> str | None:
    rates = [key for key in plan.nuisance if leaf(key) == "learning_rate"]
    return next(iter([*rates, *spans(plan)]), None)


def _variant_search(
    results: StudyResults, variant: str, color: str, points: pd.DataFrame, rate: str | None
) -> VariantSearch:
    own = points[points["variant"] == variant]
    trials = [trial for trial in results.plan.trials if trial.variant == variant]
    search = results.plan.study.protocol.search
    assert not isinstance(search, Fixed)
    whole = len(own) == len(trials) * len(search.seeds) > 0
    pruned = own["outcome"] == Outcome.PRUNED
    compared = rate if whole and not pruned.any() else None
    sensitivity, by_seed = _sensitivity(own, compared) if compared else (math.nan, ())
    return VariantSearch(
        variant=variant,
        label=results.labels[variant],
        color=color,
        choice=results.plan.choices.get(variant),
        lowest=float(whole_trials(own).groupby("trial")["loss"].mean().min())
        if whole
        else math.nan,
        initial=float(own["initial_loss"].mean()) if len(own) else math.nan,
        sensitivity=sensitivity,
        by_seed=by_seed,
        trials=len(trials),
        runs=len(own),
        diverged=int((own["outcome"] == Outcome.DIVERGED).sum()),
        pruned=int(pruned.sum()),
    )


def whole_trials(points: pd.DataFrame) -> pd.DataFrame:
    """The runs of a variant's trials that were not pruned; all of them where every trial was."""
    pruned = points[points["outcome"] == Outcome.PRUNED]["trial"]
    whole = points[~points["trial"].isin(pruned)]
    return points if whole.empty else whole


def _sensitivity(points: pd.DataFrame, rate: str) -> tuple[float, tuple[float, ...]]:
    """S over the learning rates that were tried, from the means over seeds; and S of each seed.

    Where other keys were swept too, each learning rate stands with the best values of the others.

    Source: Wortsman et al. 2023, section 2.
    """
    means = points.groupby([rate, "trial"])["loss"].mean().reset_index()
    best = means.loc[means.groupby(rate)["loss"].idxmin()]
    seeds = points[points["trial"].isin(best["trial"])].groupby("seed")["loss"]
    by_seed = tuple(float(losses.mean() - losses.min()) for _, losses in seeds)
    return float(best["loss"].mean() - best["loss"].min()), by_seed
