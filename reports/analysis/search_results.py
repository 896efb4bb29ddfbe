"""What the search of each variant saw: losses by setting, and sensitivity to the learning rate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from reports.analysis.counted_losses import counted_loss, initial_loss
from reports.figures.style import Layout, layout_of
from reports.results.frame import StudyResults
from reports.words import leaf
from studies.metrics import INITIAL_LOSS
from studies.plan import Choice, Plan, Trial
from studies.protocol import Fixed, Sweep, Tune
from studies.records import Outcome
from studies.search import spans


@dataclass(frozen=True)
class VariantSearch:
    """The search of one variant."""

    variant: str
    label: str
    color: str
    choice: Choice | None
    """None while runs of the search are missing."""
    lowest: float
    """l*: least mean over the search seeds of min(final loss, l0), nats per token; NaN while runs
    are missing, or where what one counts for is not known."""
    initial: float
    """l0: loss at initialisation, mean over the search seeds."""
    sensitivity: float
    """S: mean over the learning rates of min(final loss, l0) less the lowest of them, nats per
    token; NaN where the search is no sweep of the learning rate, or pruned a run, and as l*."""
    by_seed: tuple[float, ...]
    """S of each search seed alone."""
    trials: int
    """Asked for so far."""
    ended: int
    """Of these, those that have ended on every search seed."""
    in_all: int
    """Trials that the search is going to have, extensions that are yet to come aside."""
    runs: int
    """Runs of the search that have ended."""
    diverged: int
    pruned: int
    run_keys: tuple[str, ...]
    """Keys of the runs that have ended."""

    @property
    def is_provisional(self) -> bool:
        """Whether the search has not ended, so that l* and S are of what it has tried so far."""
        return self.choice is None


@dataclass(frozen=True)
class SearchResults:
    """The searches of all variants."""

    keys: tuple[str, ...]
    """Nuisance keys."""
    axis: str | None
    """The key that losses are drawn over: the learning rate, or else the first that has numbers."""
    points: pd.DataFrame
    """One row per run of the search that has ended: run_key, variant, label, trial, seed, extension
    (whether beyond the study's values), one column per nuisance key, outcome, loss (what the run
    counts for: `clipped_loss` with what is known of l0; of a pruned run the last one, NaN where it
    was never begun), initial_loss (l0 as the run recorded it)."""
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
    beyond: int
    """Learning rates that S leaves out, as they were tried at one setting of the other keys."""
    searching: bool
    """Whether the search has yet to choose for some variant, and may ask for more runs."""


def collect(results: StudyResults) -> SearchResults | None:
    """Losses of every run of the search, and the sums over them; None without a search."""
    plan = results.plan
    search = plan.study.protocol.search
    if isinstance(search, Fixed):
        return None
    points = _points(results)
    axis = _axis(plan)
    layout = layout_of(results)
    rate = axis if isinstance(search, Sweep) and axis and leaf(axis) == "learning_rate" else None
    tried = _comparable(points, plan)[rate].nunique() if rate else 0
    rows = tuple(
        _variant_search(results, variant, layout.styles[variant].color, points, rate)
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
        tried=tried,
        beyond=points[rate].nunique() - tried if rate else 0,
        searching=not plan.is_settled,
    )


def _points(results: StudyResults) -> pd.DataFrame:
    plan = results.plan
    search = plan.study.protocol.search
    assert not isinstance(search, Fixed)
    runs = {(r.variant, r.seed, str(r.settings)): r for r in plan.runs if r.stage == "search"}
    initial = {variant: initial_loss(results, variant) for variant in results.variants}
    rows = []
    for trial in plan.trials:
        for seed in search.seeds:
            record = results.records.get(runs[trial.variant, seed, str(trial.settings)].run_key)
            if record is None or record.outcome is Outcome.FAILED:
                continue
            row = {
                "run_key": record.run_key,
                "variant": trial.variant,
                "label": results.labels[trial.variant],
                "trial": trial.number,
                "seed": seed,
                "extension": trial.extension,
                **trial.settings,
                "outcome": record.outcome.value,
                "loss": counted_loss(record, initial[trial.variant]),
                "initial_loss": record.summary.get(INITIAL_LOSS, math.nan),
            }
            rows.append(row)
    columns = ["run_key", "variant", "label", "trial", "seed", "extension", *plan.nuisance]
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
    runs_of = own["trial"].value_counts()
    whole = len(own) == len(trials) * len(search.seeds) > 0
    pruned = own["outcome"] == Outcome.PRUNED
    compared = rate if whole and not pruned.any() else None
    comparable = _comparable(own, results.plan)
    sensitivity, by_seed = _sensitivity(comparable, compared) if compared else (math.nan, ())
    return VariantSearch(
        variant=variant,
        label=results.labels[variant],
        color=color,
        choice=results.plan.choices.get(variant),
        lowest=float(trial_means(whole_trials(own))["loss"].min(skipna=False))
        if whole
        else math.nan,
        initial=float(own["initial_loss"].mean()) if len(own) else math.nan,
        sensitivity=sensitivity,
        by_seed=by_seed,
        trials=len(trials),
        ended=int((runs_of == len(search.seeds)).sum()),
        in_all=_in_all(search, trials),
        runs=len(own),
        diverged=int((own["outcome"] == Outcome.DIVERGED).sum()),
        pruned=int(pruned.sum()),
        run_keys=tuple(own["run_key"]),
    )


def whole_trials(points: pd.DataFrame) -> pd.DataFrame:
    """The runs of a variant's trials that were not pruned; all where none of these got anywhere."""
    pruned = points["trial"].isin(points[points["outcome"] == Outcome.PRUNED]["trial"])
    untrained = points["trial"].isin(points[points["loss"] >= points["initial_loss"]]["trial"])
    return points if pruned.any() and (pruned | untrained).all() else points[~pruned]


def trial_means(points: pd.DataFrame, *keys: str) -> pd.DataFrame:
    """Mean loss over the seeds of each trial, beside its values of some keys.

    NaN where it is not known what a run counts for. Runs that were given up before they began are
    no part of it.
    """
    begun = points[points["loss"].notna() | (points["outcome"] != Outcome.PRUNED)]
    losses = begun.groupby([*keys, "trial"])["loss"]
    return losses.agg(lambda by_seed: by_seed.mean(skipna=False)).reset_index()


def _in_all(search: Sweep | Tune, trials: Sequence[Trial]) -> int:
    if isinstance(search, Sweep):
        return len(trials)
    return search.trials + sum(trial.extension for trial in trials)


def _comparable(points: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    """The runs that S is of: each learning rate with all the settings of the other keys.

    An extension of one of several keys tries its value at one setting of the others alone.
    """
    return points if len(plan.nuisance) == 1 else points[~points["extension"].astype(bool)]


def _sensitivity(points: pd.DataFrame, rate: str) -> tuple[float, tuple[float, ...]]:
    """S over the learning rates of these runs, from the means over seeds; and S of each seed.

    Where other keys were swept too, each learning rate stands with the best values of the others.

    Source: Wortsman et al. 2023, section 2.
    """
    means = trial_means(points, rate)
    if means["loss"].isna().any():
        return math.nan, ()
    best = means.loc[means.groupby(rate)["loss"].idxmin()]
    seeds = points[points["trial"].isin(best["trial"])].groupby("seed")["loss"]
    by_seed = tuple(float(losses.mean() - losses.min()) for _, losses in seeds)
    return float(best["loss"].mean() - best["loss"].min()), by_seed
