"""What the ranks of a run on several devices compute together: sums, and batch norm over them.

Every rank must come by, or those that did wait for ever. So only training steps synchronise, and
diagnostics that say so, which look on all ranks; evaluation, leak test and rehearsals never do.
Legend: N rows of a rank, C columns.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed


# An operator of its own, which a compiler leaves whole: inductor makes all_reduce write over
# numbers that are still needed (torch 2.13, CPU).
@torch.library.custom_op("lightning_modules::sum_over_ranks", mutates_args=())
def sum_over_ranks(x: Tensor) -> Tensor:
    """The sum of the ranks' tensors of one shape: bit-identical on all of them, no gradient."""
    total = x.clone(memory_format=torch.contiguous_format)
    distributed.all_reduce(total)
    return total


@sum_over_ranks.register_fake
def _(x: Tensor) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


def synchronised_batch_norm(
    x_NC: Tensor,
    running_mean_C: Tensor,
    running_variance_C: Tensor,
    *,
    momentum: float,
    eps: float,
) -> Tensor:
    """`F.batch_norm` in training mode, without gain and bias, over the rows of all ranks.

    Ranks may have unlike numbers of rows, two in all at least.
    """
    y_NC: Tensor
    y_NC, mean_C, variance_C, rows = _Normalise.apply(x_NC, eps)  # type: ignore[no-untyped-call]
    unbiased_C = variance_C * (rows / (rows - 1))
    running_mean_C.lerp_(mean_C.to(running_mean_C.dtype), momentum)
    running_variance_C.lerp_(unbiased_C.to(running_variance_C.dtype), momentum)
    return y_NC


class _Normalise(torch.autograd.Function):
    """(x - mean) / sd by one sum over the ranks, and one for the gradient.

    Source: Ioffe & Szegedy 2015; the ranks' moments weighted by rows, as in torch's SyncBatchNorm.
    """

    @staticmethod
    def forward(ctx: Any, x_NC: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The normalised rows; mean and biased variance of each column, and rows of all ranks."""
        wide_NC = _wide(x_NC)
        variance_C, mean_C = torch.var_mean(wide_NC, 0, correction=0)
        variance_C, mean_C = variance_C.double(), mean_C.double()
        # E[x²] - E[x]² of the ranks would cancel in single precision where means are large.
        own = torch.cat([mean_C, variance_C + mean_C.square(), mean_C.new_ones(1)])
        sums = sum_over_ranks(x_NC.shape[0] * own)
        rows = sums[-1]
        mean_C, square_C = (sums[:-1] / rows).chunk(2)
        variance_C = (square_C - mean_C.square()).clamp(min=0)
        scale_C = (variance_C + eps).rsqrt().to(wide_NC.dtype)
        y_NC = ((wide_NC - mean_C.to(wide_NC.dtype)) * scale_C).to(x_NC.dtype)
        ctx.save_for_backward(y_NC, scale_C, rows)
        ctx.mark_non_differentiable(mean_C, variance_C, rows)
        return y_NC, mean_C, variance_C, rows

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """The gradient of the sum of the ranks' losses, of which each rank has its rows."""
        y_NC, scale_C, rows = ctx.saved_tensors
        gradient_NC, y_NC = _wide(gradients[0]), _wide(y_NC)
        own = torch.stack([gradient_NC.sum(0), (gradient_NC * y_NC).sum(0)])
        mean_C, product_C = sum_over_ranks(own) / rows
        x_gradient_NC = scale_C * (gradient_NC - mean_C - y_NC * product_C)
        return x_gradient_NC.to(gradients[0].dtype), None


def _wide(x: Tensor) -> Tensor:
    """In single precision or better."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
