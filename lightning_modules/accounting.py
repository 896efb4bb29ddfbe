"""Size and cost of a model: counted, computed, measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from studies.estimates import estimate
from studies.schema import ModelConfig


class ParameterCount(NamedTuple):
    """Trainable parameters, shared ones once."""

    total: int
    non_embedding: int
    """Without those of `nn.Embedding` modules (tokens, positions, and a head that shares them)."""


def count_parameters(model: nn.Module) -> ParameterCount:
    """Trainable parameters of any model."""
    tables = {
        id(parameter)
        for module in model.modules()
        if isinstance(module, nn.Embedding)
        for parameter in module.parameters()
    }
    trainable = [p for p in model.parameters() if p.requires_grad]
    return ParameterCount(
        total=sum(p.numel() for p in trainable),
        non_embedding=sum(p.numel() for p in trainable if id(p) not in tables),
    )


def flops_per_token(config: ModelConfig, vocabulary_size: int) -> float:
    """Forward and backward FLOPs per token of the built-in GPT at full context."""
    return estimate(config, vocabulary_size).flops_per_token


def measured_flops_per_token(loss_fn: Callable[[Tensor], Tensor], tokens: Tensor) -> float:
    """Forward and backward FLOPs per token of a model of one's own, counted while it runs.

    `loss_fn` maps tokens to a scalar loss. Attention runs unfused, as two matrix products, so
    that it is counted on every device and without the recomputation of fused kernels. The
    backward pass adds to the gradients of the model and the forward to its running statistics:
    call it on a copy.

    Source: `torch.utils.flop_counter`, which counts matrix products and convolutions.
    """
    counter = FlopCounterMode(display=False)
    with sdpa_kernel(SDPBackend.MATH), counter:
        loss_fn(tokens).backward()  # type: ignore[no-untyped-call]
    return counter.get_total_flops() / tokens.numel()
