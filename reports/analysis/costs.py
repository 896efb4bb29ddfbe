"""What a variant is and takes: parameters, FLOPs, steps per second, and on which machines."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from reports.results.frame import StudyResults
from studies.budgets import tokens_per_step
from studies.configuration import with_values
from studies.metrics import (
    FLOPS_PER_TOKEN,
    PARAMETERS,
    PARAMETERS_NON_EMBEDDING,
    TOKENS_PER_S,
)
from studies.records import Outcome


@dataclass(frozen=True)
class Cost:
    """Size and speed of one variant; NaN where nothing is known."""

    parameters: float
    """Trainable, shared ones once."""
    non_embedding: float
    """Of these, without token and position embeddings."""
    flops_per_token: float
    """Forward and backward."""
    steps_per_s: float
    """Median over completed runs; evaluations and diagnostics left out."""
    least_steps_per_s: float
    """Of the slowest completed run."""
    most_steps_per_s: float
    tokens_per_s: float
    """Median over completed runs."""


def cost_of(results: StudyResults, variant: str) -> Cost:
    """As the runs counted and timed it; sizes as the plan estimates them where none has."""
    cell = results.plan.cell(variant)
    tokens = results.values(TOKENS_PER_S, variant)
    steps = tokens / _tokens_per_step(results, variant)
    return Cost(
        parameters=results.counted(PARAMETERS, variant, cell.parameters),
        non_embedding=results.counted(PARAMETERS_NON_EMBEDDING, variant, None),
        flops_per_token=results.counted(FLOPS_PER_TOKEN, variant, cell.flops_per_token),
        steps_per_s=float(steps.median()),
        least_steps_per_s=float(steps.min()),
        most_steps_per_s=float(steps.max()),
        tokens_per_s=float(tokens.median()),
    )


def machines(results: StudyResults) -> int:
    """Different machines, by host and device, that completed runs were timed on."""
    return len(
        {
            (record.provenance.get("host"), record.facts.get("device"))
            for record in results.records.values()
            if record.outcome is Outcome.COMPLETED and TOKENS_PER_S in record.summary
        }
    )


def _tokens_per_step(results: StudyResults, variant: str) -> pd.Series[float]:
    """By seed: the batch size may be what a search chose."""
    configuration = results.plan.cell(variant).configuration
    runs = [run for run in results.plan.runs if run.variant == variant]
    tokens = [tokens_per_step(with_values(configuration, run.settings)) for run in runs]
    return pd.Series(tokens, index=[run.seed for run in runs], dtype=float)
