"""Where norms stand around a sub-layer f on the residual stream x.

A placement owns its norms and is given the sub-layer at each call, so that a sub-layer has the
same parameter names, and so the same initial values, under every placement.
Legend: B batch, T time, D model.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from lightning_modules.gpt.norms import build_norm
from studies.registry import Registry
from studies.schema import ModelConfig

SubLayer = Callable[[Tensor], Tensor]


class Pre(nn.Module):
    """x + f(N(x)). Source: Xiong et al. 2020."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.norm = build_norm(config)

    def forward(self, x_BTD: Tensor, sub_layer: SubLayer) -> Tensor:
        """The residual stream after the sub-layer."""
        return x_BTD + sub_layer(self.norm(x_BTD))


class Post(nn.Module):
    """N(x + f(x)). Source: Vaswani et al. 2017."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.norm = build_norm(config)

    def forward(self, x_BTD: Tensor, sub_layer: SubLayer) -> Tensor:
        """The residual stream after the sub-layer."""
        out_BTD: Tensor = self.norm(x_BTD + sub_layer(x_BTD))
        return out_BTD


class Sandwich(nn.Module):
    """x + N(f(N(x))). Source: Ding et al. 2021 (CogView); Kim et al. 2025 (Peri-LN)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.norm = build_norm(config)
        self.output_norm = build_norm(config)

    def forward(self, x_BTD: Tensor, sub_layer: SubLayer) -> Tensor:
        """The residual stream after the sub-layer."""
        out_BTD: Tensor = x_BTD + self.output_norm(sub_layer(self.norm(x_BTD)))
        return out_BTD


class Bare(nn.Module):
    """x + f(x), without any norm."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()

    def forward(self, x_BTD: Tensor, sub_layer: SubLayer) -> Tensor:
        """The residual stream after the sub-layer."""
        return x_BTD + sub_layer(x_BTD)


PLACEMENTS: Registry[Callable[[ModelConfig], nn.Module]] = Registry(
    "placement", {"pre": Pre, "post": Post, "sandwich": Sandwich, "none": Bare}
)
"""Builders of a residual connection, called with (x, sub-layer). Which ones have a final norm
stands in `studies.vocabulary`."""
