"""Normalisation layers that keep the future out of the present, or are labelled where they do not.

All of them map (B, T, D) to the same shape, share one epsilon and one policy for gains and biases,
and compute in the precision of their gain.
Legend: B batch, T time, D channels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_modules.gpt.roles import Role, constant_role
from lightning_modules.gpt.streaming import Counting, Streamed
from lightning_modules.synchronisation import synchronised_batch_norm
from studies.registry import Registry
from studies.schema import ModelConfig

RUNNING_MOMENTUM = 0.1
"""Weight of a new batch in running statistics, as in torch and Ioffe & Szegedy's successors."""

DEFAULT_GROUPS = 4
DEFAULT_ALPHA = 1.0


class Norm(nn.Module, ABC):
    """Base of the norms: gain and bias per channel, as the configuration wants them."""

    parameter_roles: dict[str, Role]
    gain: nn.Parameter | None
    bias: nn.Parameter | None

    def __init__(self, config: ModelConfig, width: int | None = None) -> None:
        super().__init__()
        self.width = config.d_model if width is None else width
        self.eps = config.norm_eps
        has_bias = config.norm_affine and config.bias
        self.gain = nn.Parameter(torch.empty(self.width)) if config.norm_affine else None
        self.bias = nn.Parameter(torch.empty(self.width)) if has_bias else None
        self.parameter_roles = {
            "gain": constant_role("norm", 1.0),
            "bias": constant_role("norm", 0.0),
        }

    def forward(self, x_BTD: Tensor) -> Tensor:
        """The normalised activations."""
        # Under autocast a sub-layer's output is half precision while gains are not; fused kernels
        # want one type, and the statistics deserve the wider one.
        return self.normalise(x_BTD if self.gain is None else x_BTD.to(self.gain.dtype))

    @abstractmethod
    def normalise(self, x_BTD: Tensor) -> Tensor:
        """What a norm is."""

    def _apply_gain(self, x_BTD: Tensor) -> Tensor:
        if self.gain is not None:
            x_BTD = x_BTD * self.gain
        return x_BTD if self.bias is None else x_BTD + self.bias


class LayerNorm(Norm):
    """(x - mean) / sd over the channels of a token. Source: Ba et al. 2016."""

    def normalise(self, x_BTD: Tensor) -> Tensor:
        """One fused kernel."""
        return F.layer_norm(x_BTD, (self.width,), self.gain, self.bias, self.eps)


class RMSNorm(Norm):
    """x / sqrt(mean(x²) + eps) over the channels of a token. Source: Zhang & Sennrich 2019."""

    def normalise(self, x_BTD: Tensor) -> Tensor:
        """One fused kernel where the device has one."""
        y_BTD = F.rms_norm(x_BTD, (self.width,), self.gain, self.eps)
        return y_BTD if self.bias is None else y_BTD + self.bias


class GroupNorm(Norm):
    """Layer norm within groups of a token's channels; statistics never cross tokens.

    Source: Wu & He 2018, with the group's statistics over channels alone: over time as well they
    would show the future.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.groups = config.norm_groups or DEFAULT_GROUPS

    def normalise(self, x_BTD: Tensor) -> Tensor:
        """Layer norm of each group; faster on CPU than `F.group_norm` of (B T, D)."""
        size = self.width // self.groups
        grouped_BTGC = x_BTD.reshape(*x_BTD.shape[:-1], self.groups, size)
        return self._apply_gain(F.layer_norm(grouped_BTGC, (size,), eps=self.eps).flatten(-2))


class NormOverBatch(Norm):
    """Base of the norms with statistics of a micro-batch, and running ones for evaluation."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, config: ModelConfig, positions: int = 1) -> None:
        super().__init__(config)
        self.momentum = RUNNING_MOMENTUM
        self.synchronised = False
        """Whether statistics in training are over all ranks, each of which must then come by."""
        # Flat, so that the part that belongs to a shorter sequence is a view of them.
        self.register_buffer("running_mean", torch.zeros(positions * self.width))
        self.register_buffer("running_var", torch.ones(positions * self.width))

    def _over_ranks(self, x_NC: Tensor) -> Tensor:
        """Without gain and bias."""
        size = x_NC.shape[1]
        return synchronised_batch_norm(
            x_NC,
            self.running_mean[:size],
            self.running_var[:size],
            momentum=self.momentum,
            eps=self.eps,
        )


class BatchNorm(NormOverBatch):
    """Statistics per channel over batch and time; the running ones at evaluation.

    In training mode a token sees the mean of the batch, future tokens included: the label of this
    norm is `leaks_in_training`. Statistics are those of one micro-batch, on whatever devices.

    Source: Ioffe & Szegedy 2015; as used for text by Shen et al. 2020.
    """

    def normalise(self, x_BTD: Tensor) -> Tensor:
        """Batch norm of (B T, D)."""
        x_ND = x_BTD.flatten(0, 1)
        if self.training and self.synchronised:
            return self._apply_gain(self._over_ranks(x_ND).view_as(x_BTD))
        y_ND = F.batch_norm(
            x_ND,
            self.running_mean,
            self.running_var,
            self.gain,
            self.bias,
            self.training,
            self.momentum,
            self.eps,
        )
        return y_ND.view_as(x_BTD)


class BatchPositionNorm(NormOverBatch, Counting):
    """Statistics per channel and position over the batch; the running ones at evaluation.

    No position sees another one, so it is causal in training too. It needs two sequences per
    micro-batch, and sequences that start at position 0.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config, config.context_length)

    def normalise(self, x_BTD: Tensor) -> Tensor:
        """Batch norm of (B, T D); a short sequence uses the first positions."""
        x_BN = x_BTD.flatten(1)
        if self.training and self.synchronised:
            return self._apply_gain(self._over_ranks(x_BN).view_as(x_BTD))
        start = self.width * self.advance(x_BTD.shape[1])
        end = start + x_BN.shape[1]
        y_BN = F.batch_norm(
            x_BN,
            self.running_mean[start:end],
            self.running_var[start:end],
            training=self.training,
            momentum=self.momentum,
            eps=self.eps,
        )
        return self._apply_gain(y_BN.view_as(x_BTD))


class Moments(NamedTuple):
    """What the tokens so far came to, each (B, 1, D): distances are from the first one."""

    tokens: int
    first_B1D: Tensor
    sum_B1D: Tensor
    """Of distances."""
    squares_B1D: Tensor
    """Of deviations from the mean."""

    @classmethod
    def before(cls, x_BTD: Tensor) -> Moments:
        """Those of no token, where the first one is about to come."""
        nothing = torch.zeros_like(x_BTD[:, :1])
        return cls(0, x_BTD[:, :1].detach(), nothing, nothing)


class InstanceNorm(Norm, Streamed[Moments | tuple[()]]):
    """Instance norm made causal: per channel, mean and variance of the tokens so far.

    The first token has no variance and becomes 0 (the bias, with one). Statistics over the whole
    sequence, as Ulyanov et al. 2016 take them for images, would show the future.
    """

    def normalise(self, x_BTD: Tensor) -> Tensor:
        """Welford's recurrence as two cumulative sums.

        With n tokens so far and d the distance of the newest from the mean before it, the sum of
        squared deviations grows by d² (n - 1) / n: a sum of non-negative terms, free of the
        cancellation in mean(x²) - mean(x)².
        """
        x_BTD, given = x_BTD.to(torch.promote_types(x_BTD.dtype, torch.float32)), x_BTD.dtype
        past = self.past or Moments.before(x_BTD)
        n_T1 = past.tokens + torch.arange(
            1, x_BTD.shape[1] + 1, device=x_BTD.device, dtype=x_BTD.dtype
        ).unsqueeze(-1)
        # Shifting by the first token changes nothing but rounding, gradients included.
        y_BTD = x_BTD - past.first_B1D
        sum_BTD = past.sum_B1D + y_BTD.cumsum(1)
        mean_before_BTD = torch.cat((past.sum_B1D, sum_BTD[:, :-1]), 1) / (n_T1 - 1).clamp(min=1)
        distance_BTD = y_BTD - mean_before_BTD
        centred_BTD = distance_BTD * ((n_T1 - 1) / n_T1)
        squares_BTD = past.squares_B1D + (distance_BTD * centred_BTD).cumsum(1)
        if self.past is not None:
            tokens = past.tokens + x_BTD.shape[1]
            self.past = Moments(tokens, past.first_B1D, sum_BTD[:, -1:], squares_BTD[:, -1:])
        normalised_BTD = centred_BTD * torch.rsqrt(squares_BTD / n_T1 + self.eps)
        return self._apply_gain(normalised_BTD.to(given))

    def nothing_yet(self) -> Moments | tuple[()]:
        """No moments, before the first token says where they are counted from."""
        return ()


class DyT(Norm):
    """tanh(alpha x) with a learnt scalar alpha: no statistics at all. Source: Zhu et al. 2025."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        alpha = DEFAULT_ALPHA if config.dyt_alpha is None else config.dyt_alpha
        self.alpha = nn.Parameter(torch.empty(()))
        self.parameter_roles["alpha"] = constant_role("norm", alpha)

    def normalise(self, x_BTD: Tensor) -> Tensor:
        """Squash each entry."""
        return self._apply_gain(torch.tanh(self.alpha * x_BTD))


def _identity(config: ModelConfig) -> nn.Module:
    return nn.Identity()


NORMS: Registry[Callable[[ModelConfig], nn.Module]] = Registry(
    "norm",
    {
        "batch": BatchNorm,
        "batch_position": BatchPositionNorm,
        "layer": LayerNorm,
        "instance": InstanceNorm,
        "group": GroupNorm,
        "rms": RMSNorm,
        "dyt": DyT,
        "none": _identity,
    },
)
"""Builders of a norm over (B, T, d_model)."""


def build_norm(config: ModelConfig) -> nn.Module:
    """The norm that the configuration names."""
    return NORMS[config.norm](config)


def synchronise_norms(module: nn.Module) -> None:
    """Let batch norms in training normalise by the batches of all ranks, which pass together."""
    for part in module.modules():
        if isinstance(part, NormOverBatch):
            part.synchronised = True


def has_norms_per_device(module: nn.Module) -> bool:
    """Whether there are batch norms of torch that know of no other rank."""
    return any(
        isinstance(part, nn.modules.batchnorm._BatchNorm) and not isinstance(part, nn.SyncBatchNorm)
        for part in module.modules()
    )
