"""Distance of the residual stream to init in shape: beyond what mean and variance say.

Legend: N tokens, D channels, U directions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from lightning_modules.diagnostics.base import Subject, TapDiagnostic
from lightning_modules.diagnostics.taps import Look, full_precision
from lightning_modules.schedule import Cost
from studies.metrics import Metric

FAMILY = "sliced_w1"
DIRECTIONS = 32
SEED = 0


class SlicedWasserstein(TapDiagnostic):
    """Sliced 1-Wasserstein distance of the residual stream to that at step 0."""

    cost: ClassVar = Cost.RARE
    taps: ClassVar = ("residual",)
    definitions: ClassVar[Mapping[str, Metric]] = {
        FAMILY: Metric(
            label="sliced Wasserstein distance",
            unit="",
            direction="neither",
            definition=f"1-Wasserstein distance of the probe tokens to those at step 0 along "
            f"{DIRECTIONS} fixed random directions, each over the standard deviation at step 0; "
            "mean over directions",
            formula=r"\mathbb{E}_u \left[ \tfrac{1}{N} \sum_n | (Xu)_{(n)} - (X^r u)_{(n)} | "
            r"\,/\, \mathrm{sd}(X^r u) \right]",
            source="Rabin et al. 2012; Bonneel et al. 2015",
            scale="log",
        )
    }

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self._reference: dict[str, Tensor] = {}
        self._drawn_DU: Tensor | None = None

    def look(self, look: Look) -> None:
        """Compare with the first look at the tap."""
        with full_precision(look.x_ND):
            sorted_NU = (look.x_ND @ self._directions(look.x_ND)).sort(0).values
        if look.name in self._reference:
            reference_NU = self._reference[look.name]
            distance_U = (sorted_NU - reference_NU).abs().mean(0)
            self.note(FAMILY, look.name, (distance_U / reference_NU.std(0, correction=0)).mean())
        else:
            self._reference[look.name] = sorted_NU

    def state_dict(self) -> dict[str, Any]:
        """The projections at step 0, in order."""
        return dict(self._reference)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take the projections at step 0 from a checkpoint."""
        device = self.subject.probe_BT.device
        self._reference = {tap: value.to(device) for tap, value in state.items()}

    def _directions(self, x_ND: Tensor) -> Tensor:
        """Unit directions (D, U), the same for every run of a width; drawn once."""
        if self._drawn_DU is None or len(self._drawn_DU) != x_ND.shape[1]:
            generator = torch.Generator().manual_seed(SEED)
            drawn_DU = torch.randn(x_ND.shape[1], DIRECTIONS, generator=generator)
            self._drawn_DU = F.normalize(drawn_DU, dim=0).to(x_ND)
        return self._drawn_DU
