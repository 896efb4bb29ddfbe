"""Whether the loss of pre-training foretells what a fine-tuned model scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple

import numpy as np

from reports.analysis.statistics import spearman
from studies.tasks import task_label

LEAST_VARIANTS = 4
"""Variants from which on an order by loss and one by score are compared: of three, no order is
rarer than one in six."""


class ScoredModel(NamedTuple):
    """A pre-trained model, and what it came to on a task."""

    task: str
    variant: str
    label: str
    seed: int
    loss: float
    """Final loss of pre-training."""
    score: float
    """Mean over the seeds of fine-tuning."""
    run_keys: tuple[str, ...]
    """Of pre-training, and of fine-tuning."""


@dataclass(frozen=True)
class LossCorrelation:
    """Whether the variants with the lower loss are those with the higher score."""

    task: str
    label: str
    variants: int
    rho: float
    """Spearman's, of mean final loss and mean score; -1 is the same order."""
    p: float
    """Two-sided, of all orders."""


def correlation(task: str, models: Sequence[ScoredModel]) -> LossCorrelation:
    """Of the means of variants over the models that were fine-tuned on a task."""
    by_variant: dict[str, list[ScoredModel]] = {}
    for model in models:
        if model.task == task:
            by_variant.setdefault(model.variant, []).append(model)
    pairs = [
        (fmean(m.loss for m in own), fmean(m.score for m in own)) for own in by_variant.values()
    ]
    found = spearman(np.array(pairs)) if len(pairs) >= LEAST_VARIANTS else None
    rho, p = (math.nan, math.nan) if found is None else found
    return LossCorrelation(task, task_label(task), len(pairs), rho, p)
