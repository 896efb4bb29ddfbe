"""What a study computes, and how long that takes a GPU that everybody knows."""

from __future__ import annotations

from studies.budgets import training_tokens
from studies.configuration import with_values
from studies.expected_runs import expected_runs
from studies.plan import Plan

GPU = "A100"
PEAK_FLOPS_PER_S = 312e12
"""Of dense bf16 matrix products. Source: NVIDIA's data sheet of the A100."""
UTILISATION = 0.4
"""Share of the peak that training is taken to reach. Source: Chowdhery et al. 2022, table 3, has
.21 to .46 for large language models."""


def training_flops(plan: Plan) -> float | None:
    """Forward and backward FLOPs of the training steps of every run; None where one is not known.

    A search that has yet to choose is taken at the first of its possible settings. Fine-tunings
    are left out: how many tokens their data sets have is not known before they are read.
    """
    total = 0.0
    for runs in expected_runs(plan.without_finetuning()):
        cell = plan.cell(runs.variant)
        tokens = training_tokens(with_values(cell.configuration, runs.settings[0]))
        if tokens is None or cell.flops_per_token is None:
            return None
        total += runs.count * tokens * cell.flops_per_token
    return total


def gpu_hours(flops: float) -> float:
    """Hours of the reference GPU."""
    return flops / (PEAK_FLOPS_PER_S * UTILISATION) / 3600
