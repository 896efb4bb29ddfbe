"""How the order of tokens enters the model: at the embedding, at queries and keys, or not at all.

Legend: B batch, T time, D model, H heads, K channels of a head, C = K / 2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lightning_modules.gpt.layers import Embedding
from lightning_modules.gpt.streaming import Counting
from studies.registry import Registry
from studies.schema import ModelConfig

ROPE_BASE = 10_000.0
"""Longest wavelength over 2 pi, in tokens. Source: Su et al. 2021, section 3.4.3."""


class LearnedPositions(Embedding, Counting):
    """Adds a learnt vector per position. Source: Radford et al. 2018."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config.context_length, config.d_model)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """The embedding with positions."""
        time = x_BTD.shape[1]
        start = self.advance(time)
        return x_BTD + self.weight[start : start + time]


class Rotary(nn.Module):
    """Rotates pairs of channels of queries or keys by their position. Source: Su et al. 2021.

    Channel i is paired with i + K/2, as in GPT-NeoX; the pairing is a permutation of channels.
    """

    cos_TK: Tensor
    sin_TK: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.d_model // config.n_heads
        frequency_C = ROPE_BASE ** -(torch.arange(0, width, 2, dtype=torch.float64) / width)
        position_T = torch.arange(config.context_length, dtype=torch.float64)
        angle_TK = torch.outer(position_T, frequency_C).repeat(1, 2)
        self.register_buffer("cos_TK", angle_TK.cos().to(torch.get_default_dtype()), False)
        self.register_buffer("sin_TK", angle_TK.sin().to(torch.get_default_dtype()), False)

    def forward(self, x_BHTK: Tensor, start: int = 0) -> Tensor:
        """The rotated queries or keys, of which the first is at position `start`."""
        end = start + x_BHTK.shape[-2]
        first_C, second_C = x_BHTK.chunk(2, dim=-1)
        turned_BHTK = torch.cat((-second_C, first_C), dim=-1)
        return x_BHTK * self.cos_TK[start:end] + turned_BHTK * self.sin_TK[start:end]


class NoRotation(nn.Module):
    """Leaves queries and keys as they are."""

    def forward(self, x_BHTK: Tensor, start: int = 0) -> Tensor:
        """The queries or keys."""
        return x_BHTK


def _identity(config: ModelConfig) -> nn.Module:
    return nn.Identity()


def _no_rotation(config: ModelConfig) -> nn.Module:
    return NoRotation()


@dataclass(frozen=True)
class Position:
    """What a position scheme does at each place where it may act."""

    embedding: Callable[[ModelConfig], nn.Module] = _identity
    """Builder of a map of the embedding (B, T, D)."""
    rotation: Callable[[ModelConfig], nn.Module] = _no_rotation
    """Builder of a map of queries and of keys (B, H, T, K), and of the first one's position."""


POSITIONS: Registry[Position] = Registry(
    "position",
    {
        "learned": Position(embedding=LearnedPositions),
        "rope": Position(rotation=Rotary),
        "none": Position(),
    },
)
