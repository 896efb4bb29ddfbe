"""Causal multi-head self-attention.

Legend: B batch, T time, D model, H heads, K channels of a head.
"""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from lightning_modules.gpt.layers import Linear
from lightning_modules.gpt.norms import LayerNorm
from lightning_modules.gpt.positions import POSITIONS
from studies.schema import ModelConfig


class Heads(NamedTuple):
    """What the heads attend with, each (B, H, T, K)."""

    queries: Tensor
    keys: Tensor
    values: Tensor


class Attention(nn.Module):
    """softmax(Q K' / sqrt(K)) V over the tokens so far. Source: Vaswani et al. 2017."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.d_model
        self.n_heads = config.n_heads
        head_width = width // config.n_heads
        self.input = Linear(width, 3 * width, bias=config.bias, kind="attention", parallel=3)
        self.query_norm: nn.Module = nn.Identity()
        self.key_norm: nn.Module = nn.Identity()
        if config.qk_norm:
            self.query_norm = LayerNorm(config, head_width)
            self.key_norm = LayerNorm(config, head_width)
        self.rotation = POSITIONS[config.position].rotation(config)
        self.output = Linear(width, width, bias=config.bias, kind="attention", writes_residual=True)
        self.dropout = nn.Dropout(config.dropout)

    def heads(self, x_BTD: Tensor) -> Heads:
        """Queries, keys and values as the scores see them: after norm and rotation."""
        split_3BHTK = self.input(x_BTD).unflatten(-1, (3, self.n_heads, -1)).permute(2, 0, 3, 1, 4)
        queries, keys, values = split_3BHTK.unbind(0)
        queries = self.rotation(self.query_norm(queries))
        keys = self.rotation(self.key_norm(keys))
        return Heads(queries.type_as(values), keys.type_as(values), values)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """What attention adds to the residual stream, (B, T, D)."""
        heads = self.heads(x_BTD)
        dropout = self.dropout.p if self.training else 0.0
        mixed_BHTK = F.scaled_dot_product_attention(*heads, dropout_p=dropout, is_causal=True)
        out_BTD: Tensor = self.dropout(self.output(mixed_BHTK.transpose(1, 2).flatten(2)))
        return out_BTD
