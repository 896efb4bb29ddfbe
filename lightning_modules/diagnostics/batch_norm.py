"""How far a batch is from the running statistics that batch norm uses at evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from lightning_modules.diagnostics.base import NO_READINGS, Diagnostic, Readings, Subject
from lightning_modules.diagnostics.running_statistics import BatchNorm, measure_statistics
from lightning_modules.schedule import Cost
from studies.diagnostics import NORM_TAPS
from studies.metrics import Metric, layer_name

MEAN, VARIANCE = "batch_norm_mean_distance", "batch_norm_variance_distance"
LOSS_GAP = "batch_norm/loss_gap"


class BatchNormStatistics(Diagnostic):
    """Distance of the probe batch's statistics to the running ones, and what it does to the loss.

    Models without batch norm have none of these numbers.
    """

    cost: ClassVar = Cost.PROBE
    definitions: ClassVar[Mapping[str, Metric]] = {
        MEAN: Metric(
            label="distance of batch to running mean",
            unit="",
            direction="neither",
            definition="Euclidean distance of the probe batch's channel means, at the input of a "
            "batch norm, to its running means, over the root of the number of channels, in units "
            "of the activations",
            formula=r"\lVert \mu_B - \mu_\mathrm{run} \rVert_2 / \sqrt{D}",
            source="after Shen et al. 2020, figure 2 (there on training batches)",
            scale="log",
        ),
        VARIANCE: Metric(
            label="distance of batch to running variance",
            unit="",
            direction="neither",
            definition="Euclidean distance of the probe batch's channel variances, at the input of "
            "a batch norm, to its running variances, over the root of the number of channels, in "
            "units of the activations squared",
            formula=r"\lVert \sigma^2_B - \sigma^2_\mathrm{run} \rVert_2 / \sqrt{D}",
            source="after Shen et al. 2020, figure 2 (there on training batches)",
            scale="log",
        ),
        LOSS_GAP: Metric(
            label="loss gap of batch statistics",
            unit="nats/token",
            direction="neither",
            definition="loss on the probe batch with batch statistics minus that with running "
            "statistics, both without dropout; below 0 where training mode shows the future, and "
            "while running statistics still hold much of where they began",
            formula=r"L_\mathrm{train\ mode} - L_\mathrm{eval\ mode}",
            source="cf. Wang et al. 2022 (training inference discrepancy)",
            scale="diverging",
        ),
    }

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self._norms = subject.batch_norms()
        self._names = _names(subject, self._norms)

    def probe(self, loss: Tensor | None) -> Readings:
        """A pass with the statistics of the probe batch, beside the one with the running ones."""
        if not self._norms:
            return NO_READINGS
        running_loss = self.subject.loss() if loss is None else loss
        losses: list[Tensor] = []
        measured = measure_statistics(lambda: losses.append(self.subject.loss()), self._norms)
        names, values = [], []
        for name, norm in self._norms.items():
            for family, batch, running in (
                (MEAN, measured[name].mean, norm.running_mean),
                (VARIANCE, measured[name].variance, norm.running_variance),
            ):
                names.append(f"{family}/{self._names[name]}")
                values.append((batch - running).square().mean().sqrt())
        values.append(losses[0] - running_loss)
        return Readings([*names, LOSS_GAP], torch.stack(values))


def _names(subject: Subject, norms: Mapping[str, BatchNorm]) -> dict[str, str]:
    """What the input of each batch norm is called: by the norm's role, or else by its number."""
    known = {
        id(module): layer_name(f"{role}_input", index)
        for role in NORM_TAPS
        for index, module in enumerate(subject.roles.get(role, ()))
    }
    others = [name for name, norm in norms.items() if id(norm.module) not in known]
    numbered = {name: layer_name("norm_input", number) for number, name in enumerate(others)}
    return {name: known.get(id(norm.module)) or numbered[name] for name, norm in norms.items()}
