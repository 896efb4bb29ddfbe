"""Similarity of representations to those at initialisation, blind to rotation and scale.

Legend: N tokens, D channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from lightning_modules.diagnostics.base import Subject, TapDiagnostic
from lightning_modules.diagnostics.taps import Look, precise
from lightning_modules.schedule import Cost
from studies.metrics import Metric

FAMILY = "cka_to_init"


class LinearCKA(TapDiagnostic):
    """Debiased linear centred kernel alignment of the residual stream with that at step 0."""

    cost: ClassVar = Cost.RARE
    taps: ClassVar = ("residual",)
    definitions: ClassVar[Mapping[str, Metric]] = {
        FAMILY: Metric(
            label="CKA to init",
            unit="",
            direction="neither",
            definition="debiased linear centred kernel alignment of the probe tokens' activations "
            "with those at step 0 (1: equal but for rotation and scale); outlier channels dominate "
            "it, so it is no evidence alone",
            formula=r"\mathrm{HSIC}_1(K, L) \,/\, "
            r"\sqrt{\mathrm{HSIC}_1(K, K) \, \mathrm{HSIC}_1(L, L)}",
            source="Kornblith et al. 2019; debiased: Song et al. 2012, Nguyen et al. 2021",
        )
    }

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self._reference: dict[str, Tensor] = {}

    def look(self, look: Look) -> None:
        """Compare with the first look at the tap."""
        if look.name in self._reference:
            similarity = debiased_linear_cka(look.x_ND, self._reference[look.name])
            self.note(FAMILY, look.name, similarity)
        else:
            self._reference[look.name] = look.x_ND.clone()

    def state_dict(self) -> dict[str, Any]:
        """The activations at step 0."""
        return dict(self._reference)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take the activations at step 0 from a checkpoint."""
        device = self.subject.probe_BT.device
        self._reference = {tap: value.to(device) for tap, value in state.items()}


def debiased_linear_cka(x_ND: Tensor, y_ND: Tensor) -> Tensor:
    """CKA () of two representations of the same tokens, from unbiased estimates of HSIC."""
    x_ND, y_ND = (precise(z - z.mean(0)) for z in (x_ND, y_ND))
    return hsic(x_ND, y_ND) / (hsic(x_ND, x_ND) * hsic(y_ND, y_ND)).sqrt()


def hsic(x_ND: Tensor, y_ND: Tensor) -> Tensor:
    """Unbiased HSIC () of linear kernels, of centred activations.

    The kernels K = XX' and L = YY' without their diagonals are never formed: with N tokens and D
    channels it costs N D² and not N² D.

    Source: Song et al. 2012, equation 5.
    """
    n = len(x_ND)
    k_N, l_N = x_ND.square().sum(1), y_ND.square().sum(1)
    # Rows of a centred kernel add up to 0, and so to -k_n once the diagonal is left out.
    trace = (x_ND.mT @ y_ND).square().sum() - k_N @ l_N
    sums = k_N.sum() * l_N.sum() / ((n - 1) * (n - 2))
    return (trace + sums - 2 / (n - 2) * (k_N @ l_N)) / (n * (n - 3))
