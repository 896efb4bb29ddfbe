"""What a trial of a search counts for, by the records of its runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from studies.metrics import FINAL_LOSS, INITIAL_LOSS, LAST_VALIDATION_LOSS
from studies.records import Outcome, RunRecord
from studies.values import Scalar

Settings = Mapping[str, Scalar]

NEVER_FINITE = 1000.0
"""Nats per token that a run counts for which never had a finite loss, not even before training."""


@dataclass(frozen=True)
class Tried:
    """A trial that has ended on every seed."""

    settings: Settings
    loss: float
    """Mean over the search seeds of min(final loss, loss at initialisation)."""
    pruned: bool = False
    """Whether a run of it was pruned: then the mean is over the last losses that there are."""
    untrained: bool = False
    """Whether a run of it diverged, or ended no better than it began."""


def clipped_loss(record: RunRecord) -> float:
    """What a run counts for in a search: min(final loss, loss at initialisation), nats per token.

    A diverged run counts as untrained: there is always the model that one started with. A pruned
    one counts for its last validation loss; one that was given up before it began for NaN.

    Source: Wortsman et al. 2023, section 2.
    """
    initial = record.summary.get(INITIAL_LOSS, NEVER_FINITE)
    if record.outcome is Outcome.COMPLETED:
        return min(record.summary.get(FINAL_LOSS, initial), initial)
    if record.outcome is Outcome.PRUNED:
        last = record.summary.get(LAST_VALIDATION_LOSS)
        return math.nan if last is None else min(last, initial)
    return initial


def of_records(settings: Settings, records: Sequence[RunRecord]) -> Tried:
    """What a trial counts for, by the records of all its seeds."""
    losses = [loss for loss in map(clipped_loss, records) if not math.isnan(loss)]
    pruned = any(record.outcome is Outcome.PRUNED for record in records)
    mean = math.fsum(losses) / len(losses) if losses else NEVER_FINITE
    untrained = any(clipped_loss(r) == r.summary.get(INITIAL_LOSS, NEVER_FINITE) for r in records)
    return Tried(settings, mean, pruned, untrained)


def best_of(tried: Sequence[Tried]) -> Tried:
    """The best trial, the first of equals."""
    return min(tried, key=rank(tried))


def rank(tried: Sequence[Tried]) -> Callable[[Tried], tuple[bool, float]]:
    """How good a trial is, the best least: by its loss.

    Where some were pruned, those that trained to their end come first: what was pruned has no loss
    to be ranked by, and is still more hopeful than what is untrained.
    """
    pruned = any(trial.pruned for trial in tried)
    return lambda trial: (pruned and (trial.pruned or trial.untrained), trial.loss)
