"""Non-linearities of the feed-forward: from its input projection to its hidden activation.

Legend: ... leading dimensions, F hidden width, P projected width (F, or 2 F when gated).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from studies.registry import Registry

Function = Callable[[Tensor], Tensor]


def _gated(function: Function) -> Function:
    """The gated form f(W x) * V x, where the projection holds W x and V x side by side."""

    def activate(projected_P: Tensor) -> Tensor:
        gate_F, value_F = projected_P.chunk(2, dim=-1)
        return function(gate_F) * value_F

    return activate


def _gelu_tanh(x: Tensor) -> Tensor:
    return F.gelu(x, approximate="tanh")


def _relu2(x: Tensor) -> Tensor:
    return F.relu(x).square()


def _identity(x: Tensor) -> Tensor:
    return x


ACTIVATIONS: Registry[Function] = Registry(
    "activation",
    {
        "relu": F.relu,
        "sigmoid": torch.sigmoid,
        "tanh": torch.tanh,
        "gelu": F.gelu,
        "gelu_tanh": _gelu_tanh,
        "silu": F.silu,
        "relu2": _relu2,
        "glu": _gated(torch.sigmoid),
        "bilinear": _gated(_identity),
        "reglu": _gated(F.relu),
        "geglu": _gated(F.gelu),
        "swiglu": _gated(F.silu),
    },
)
"""Maps (..., P) to (..., F). Which ones are gated stands in `studies.vocabulary`."""


def _sigmoid_slope(x: Tensor) -> Tensor:
    y = torch.sigmoid(x)
    return 4 * y * (1 - y)


def _tanh_slope(x: Tensor) -> Tensor:
    return 1 - torch.tanh(x).square()


def _gate_slope(projected_P: Tensor) -> Tensor:
    gate_F, _ = projected_P.chunk(2, dim=-1)
    return _sigmoid_slope(gate_F)


RELATIVE_SLOPES: dict[str, Function] = {
    "sigmoid": _sigmoid_slope,
    "tanh": _tanh_slope,
    "glu": _gate_slope,
}
"""For the bounded non-linearities: (..., P) to the slope over its largest value, (..., F)."""


class Activation(nn.Module):
    """A non-linearity as a module, so that what goes in and out of it can be looked at."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self._function = ACTIVATIONS[kind]

    def forward(self, projected_P: Tensor) -> Tensor:
        """Maps the input projection (..., P) to the hidden activation (..., F)."""
        return self._function(projected_P)
