"""Non-linearities of the feed-forward: from its input projection to its hidden activation.

Legend: ... leading dimensions, F hidden width, P projected width (F, or 2 F when gated).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from studies.registry import Registry

Activation = Callable[[Tensor], Tensor]


def _gated(function: Activation) -> Activation:
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


ACTIVATIONS: Registry[Activation] = Registry(
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
