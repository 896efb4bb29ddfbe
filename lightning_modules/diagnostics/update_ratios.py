"""How far one optimiser step moves the parameters, relative to their size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from lightning_modules.diagnostics.base import Diagnostic, Readings, Subject
from lightning_modules.diagnostics.parameter_groups import GroupNorms
from lightning_modules.schedule import Cost
from studies.metrics import Metric

FAMILY = "update_ratio"


class UpdateRatios(Diagnostic):
    """|ΔW| / |W| over groups of parameters, as the optimiser made the step."""

    cost: ClassVar = Cost.PROBE
    of_update: ClassVar = True
    definitions: ClassVar[Mapping[str, Metric]] = {
        FAMILY: Metric(
            label="update ratio",
            unit="",
            direction="neither",
            definition="L2 norm of the change of the parameters in one optimiser step, with its "
            "clipping and weight decay, over their L2 norm before it: of all trained parameters "
            "(total), those of a block (block_NN), or those of a kind",
            formula=r"\lVert W_g^{t+1} - W_g^t \rVert_2 \,/\, \lVert W_g^t \rVert_2",
            scale="log",
            of_step=True,
        )
    }

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self._norms = GroupNorms(subject.module, subject.roles)
        self._before: list[Tensor] = []

    def before_step(self) -> None:
        """Keep the parameters as they are."""
        self._before = [p.detach().clone() for p in self._norms.parameters]

    def after_step(self, batch_BT: Tensor) -> Readings:
        """Ratio of each group."""
        before, self._before = self._before, []
        with torch.no_grad():
            sizes = self._norms(before)
            after = [p.detach() for p in self._norms.parameters]
            steps = self._norms(torch._foreach_sub(after, before))
        return Readings([f"{FAMILY}/{name}" for name in self._norms.names], steps / sizes)
