"""Units of the feed-forward that do not work: dead, dormant, saturated; and zeros."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn

from lightning_modules.diagnostics.base import TapDiagnostic
from lightning_modules.diagnostics.taps import Look, wide
from lightning_modules.gpt.activations import RELATIVE_SLOPES, Activation
from lightning_modules.schedule import Cost
from studies.metrics import ByConstruction, Metric, layer_name

DEAD, DORMANT, SATURATED, ZEROS = "dead_units", "dormant_units", "saturated_units", "hidden_zeros"
DORMANCY = 0.025
"""Threshold tau of Sokar et al. 2023."""
SATURATION = 0.01
"""Share of the largest slope below which an entry counts as saturated."""
TORCH_KINDS = {nn.Sigmoid: "sigmoid", nn.Tanh: "tanh"}
"""Modules of torch that are such activations, for a module of one's own."""

_SMOOTH = (
    ByConstruction(
        "a smooth non-linearity is exactly 0 only by underflow, or where its input is (as the "
        "first token's is under instance norm)",
        taps=("block",),
        when={
            "model.activation": (
                "sigmoid", "tanh", "gelu", "gelu_tanh", "silu",
                "glu", "bilinear", "geglu", "swiglu",
            )
        },
    ),
)  # fmt: skip


class HiddenUnits(TapDiagnostic):
    """Shares over the hidden activation of each feed-forward (the product, if it is gated)."""

    cost: ClassVar = Cost.PROBE
    taps: ClassVar = ("hidden",)
    definitions: ClassVar[Mapping[str, Metric]] = {
        DEAD: Metric(
            label="dead units",
            unit="share",
            direction="neither",
            definition="share of the hidden units that are exactly 0 on every token of the probe "
            "batch",
            formula=r"\tfrac{1}{F} \, \left| \{ i : h_{ni} = 0 \;\; \forall n \} \right|",
            source="Lu et al. 2019 (dying ReLU)",
            by_construction=_SMOOTH,
        ),
        DORMANT: Metric(
            label="dormant units",
            unit="share",
            direction="neither",
            definition="share of the hidden units whose mean absolute activation over the probe "
            "batch is at most 0.025 of the mean over units",
            formula=r"\tfrac{1}{F} \, \left| \{ i : \mathbb{E}|h_i| \le 0.025 \, "
            r"\tfrac{1}{F} \sum_k \mathbb{E}|h_k| \} \right|",
            source="Sokar et al. 2023",
        ),
        SATURATED: Metric(
            label="saturated entries",
            unit="share",
            direction="neither",
            definition="share of the entries (tokens by units) at which the slope of the sigmoid "
            "or tanh, of the gate if it is gated, is below 0.01 of its largest; recorded for "
            "sigmoid, tanh and glu only",
            formula=r"\tfrac{1}{NF} \left| \{ n,i : |\phi'(z_{ni})| < 0.01 \max \phi' \} \right|",
            source="Glorot & Bengio 2010 (saturation)",
        ),
        ZEROS: Metric(
            label="zeros of the hidden activation",
            unit="share",
            direction="neither",
            definition="share of the entries (tokens by units) of the hidden activation that are "
            "exactly 0 on the probe batch",
            formula=r"\tfrac{1}{NF} \left| \{ n,i : h_{ni} = 0 \} \right|",
            source="Li et al. 2023 (activation sparsity)",
            by_construction=_SMOOTH,
        ),
    }

    def look(self, look: Look) -> None:
        """Note the shares of a block."""
        is_zero_NF = look.x_ND == 0
        size_F = look.x_ND.abs().mean(0)
        self._note_share(DEAD, look, is_zero_NF.all(0))
        self._note_share(DORMANT, look, size_F <= DORMANCY * size_F.mean())
        self._note_share(ZEROS, look, is_zero_NF)
        slope_NF = _relative_slope(look)
        if slope_NF is not None:
            self._note_share(SATURATED, look, slope_NF < SATURATION)

    def _note_share(self, family: str, look: Look, holds: Tensor) -> None:
        """Note the share of True; NaN where activations are not finite, since no NaN is 0."""
        share = holds.float().mean() + 0 * look.x_ND.sum()
        self.note(family, layer_name("block", look.index), share)


def _relative_slope(look: Look) -> Tensor | None:
    """Slope at each entry over the largest one; None where the non-linearity does not saturate."""
    module = look.module
    kind = module.kind if isinstance(module, Activation) else TORCH_KINDS.get(type(module))
    slope = RELATIVE_SLOPES.get(kind) if kind else None
    return slope(wide(look.given.detach())) if slope else None
