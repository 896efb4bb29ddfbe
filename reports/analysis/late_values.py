"""What a run came to in each layer: the one value that stands for a curve late in training."""

from __future__ import annotations

import pandas as pd

from reports.figures.color_scales import Kind, mean_of_runs
from studies.metrics import Metric


def late_values(definition: Metric, curves: pd.DataFrame, kind: Kind) -> pd.DataFrame:
    """A value of each run and layer, with the steps of its first and last look.

    What is of the model is taken at the last probe; what is of a single step, with its batch and
    its learning rate, as the mean over the second half of the run.

    Args:
        definition: what is measured.
        curves: run_key, variant, tap, layer, step, value.
        kind: scale that the mean is taken on.

    Returns:
        run_key, variant, tap, layer, value, first_step, step.
    """
    ends = curves.groupby("run_key")["step"].transform("max")
    if not definition.of_step:
        last = curves[curves["step"] == ends]
        return last.assign(first_step=last["step"])
    later = curves[curves["step"] >= ends / 2]
    by = later[["run_key", "variant", "tap", "layer"]]
    means = mean_of_runs(kind, later["value"], by).rename(columns={"mean": "value"})
    steps = later.groupby(list(by))["step"].agg(first_step="min", step="max")
    return means.merge(steps.reset_index())
