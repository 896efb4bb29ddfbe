"""Norms of the gradients before clipping: in all, by block and by kind of parameter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from lightning_modules.diagnostics.base import NO_READINGS, Diagnostic, Readings, Subject
from lightning_modules.diagnostics.parameter_groups import GroupNorms
from lightning_modules.schedule import Cost
from studies.metrics import Metric

FAMILY = "gradient_norm"


class GradientNorms(Diagnostic):
    """L2 norm of the gradient over groups of parameters."""

    cost: ClassVar = Cost.STEP
    definitions: ClassVar[Mapping[str, Metric]] = {
        FAMILY: Metric(
            label="gradient norm",
            unit="",
            direction="neither",
            definition="L2 norm of the gradient of the step's mean loss before clipping, over all "
            "trained parameters (total), those of a block (block_NN), or those of a kind (a tied "
            "head counts as embedding)",
            formula=r"\lVert \nabla_{W_g} L \rVert_2",
            source="Xiong et al. 2020 (by layer)",
            scale="log",
            of_step=True,
        )
    }

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self._norms = GroupNorms(subject.module, subject.roles)
        self._readings = NO_READINGS

    def before_step(self) -> None:
        """Take the norms while the gradients are as the loss gave them."""
        values = self._norms([p.grad for p in self._norms.parameters])
        self._readings = Readings([f"{FAMILY}/{name}" for name in self._norms.names], values)

    def after_step(self, batch_BT: Tensor) -> Readings:
        """Norm of each group: the root of the sum of its parameters' squared norms."""
        return self._readings
