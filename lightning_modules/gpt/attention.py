"""Causal multi-head self-attention.

Legend: B batch, T time, D model, H heads, K channels of a head.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_modules.gpt.layers import Linear
from lightning_modules.gpt.norms import LayerNorm
from lightning_modules.gpt.positions import POSITIONS
from lightning_modules.gpt.streaming import Streamed
from studies.schema import ModelConfig


class Heads(NamedTuple):
    """What the heads attend with, each (B, H, T, K)."""

    queries: Tensor
    keys: Tensor
    values: Tensor


class Remembered:
    """Keys and values of the tokens so far, in room for a whole context."""

    def __init__(self, context_length: int) -> None:
        self._context_length = context_length
        self._room: tuple[Tensor, ...] = ()
        self.length = 0
        """Tokens so far."""

    def add(self, *new_BHTK: Tensor) -> tuple[Tensor, ...]:
        """All keys and values, (B, H, T, K) each, with the new ones at their end."""
        start, self.length = self.length, self.length + new_BHTK[0].shape[2]
        if not self._room:
            self._room = tuple(self._empty_like(new) for new in new_BHTK)
        for room, new in zip(self._room, new_BHTK, strict=True):
            room[:, :, start : self.length] = new
        return tuple(room[:, :, : self.length] for room in self._room)

    def _empty_like(self, new_BHTK: Tensor) -> Tensor:
        batch, heads, _, width = new_BHTK.shape
        return new_BHTK.new_empty(batch, heads, self._context_length, width)


class Attention(Streamed[Remembered]):
    """softmax(Q K' / sqrt(K)) V over the tokens so far. Source: Vaswani et al. 2017."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.d_model
        self.n_heads = config.n_heads
        self.context_length = config.context_length
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
        start = 0 if self.past is None else self.past.length
        queries = self.rotation(self.query_norm(queries), start)
        keys = self.rotation(self.key_norm(keys), start)
        return Heads(queries.type_as(values), keys.type_as(values), values)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """What attention adds to the residual stream, (B, T, D)."""
        heads = self.heads(x_BTD)
        if self.past is None:
            dropout = self.dropout.p if self.training else 0.0
            mixed_BHTK = F.scaled_dot_product_attention(*heads, dropout_p=dropout, is_causal=True)
        else:
            mixed_BHTK = self._continued(heads, self.past)
        out_BTD: Tensor = self.dropout(self.output(mixed_BHTK.transpose(1, 2).flatten(2)))
        return out_BTD

    def nothing_yet(self) -> Remembered:
        """Room for keys and values."""
        return Remembered(self.context_length)

    def _continued(self, heads: Heads, past: Remembered) -> Tensor:
        """What the new queries find among all keys so far."""
        start, time = past.length, heads.queries.shape[2]
        keys, values = past.add(heads.keys, heads.values)
        seen_TS = torch.ones(time, start + time, dtype=torch.bool, device=keys.device).tril(start)
        return F.scaled_dot_product_attention(heads.queries, keys, values, attn_mask=seen_TS)
