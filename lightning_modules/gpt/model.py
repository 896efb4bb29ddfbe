"""The decoder-only transformer under study.

Legend: B batch, T time, D model, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from typing import ClassVar

import torch
from torch import LongTensor, Tensor, nn

from lightning_modules.gpt.attention import Attention
from lightning_modules.gpt.feed_forward import FeedForward
from lightning_modules.gpt.initialization import initialize
from lightning_modules.gpt.layers import Embedding, Linear
from lightning_modules.gpt.norms import build_norm
from lightning_modules.gpt.placements import PLACEMENTS
from lightning_modules.gpt.positions import POSITIONS
from lightning_modules.gpt.roles import Role, constant_role
from lightning_modules.gpt.streaming import Counting
from studies import vocabulary
from studies.errors import AblationError
from studies.estimates import scales_embedding
from studies.schema import ModelConfig


class Block(nn.Module):
    """Attention, then a feed-forward, each added to the residual stream."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        build_residual = PLACEMENTS[config.placement]
        self.attention = Attention(config)
        self.attention_residual = build_residual(config)
        self.feed_forward = FeedForward(config)
        self.feed_forward_residual = build_residual(config)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """The residual stream after the block."""
        x_BTD = self.attention_residual(x_BTD, self.attention)
        x_BTD = self.feed_forward_residual(x_BTD, self.feed_forward)
        return x_BTD


class EmbeddingScale(nn.Module):
    """A learnt scale of the embedding, sqrt(d_model) at first.

    Without it a language model with DyT does not converge. Source: Zhu et al. 2025, section 5.
    """

    parameter_roles: dict[str, Role]

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.empty(()))
        self.parameter_roles = {"scale": constant_role("embedding", sqrt(config.d_model))}

    def forward(self, x_BTD: Tensor) -> Tensor:
        """The scaled embedding."""
        return x_BTD * self.scale


class GPT(Counting):
    """Maps tokens (B, T) to logits (B, T, V), initialised from a seed."""

    module_roles: ClassVar[Mapping[str, str]] = {
        "block": "blocks.*",
        "attention_norm": "blocks.*.attention_residual.norm",
        "attention": "blocks.*.attention",
        "attention_output_norm": "blocks.*.attention_residual.output_norm",
        "feed_forward_norm": "blocks.*.feed_forward_residual.norm",
        "feed_forward": "blocks.*.feed_forward",
        "feed_forward_output_norm": "blocks.*.feed_forward_residual.output_norm",
        "activation": "blocks.*.feed_forward.activation",
        "final_norm": "final_norm",
    }
    """What diagnostics know the sub-modules as, by patterns of their names."""

    def __init__(self, config: ModelConfig, vocabulary_size: int, *, seed: int) -> None:
        super().__init__()
        self.config = config
        self.vocabulary_size = vocabulary_size
        self.token_embedding = Embedding(vocabulary_size, config.d_model)
        self.position_embedding = POSITIONS[config.position].embedding(config)
        self.embedding_scale = EmbeddingScale(config) if scales_embedding(config) else nn.Identity()
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layers))
        has_final_norm = vocabulary.PLACEMENTS[config.placement].final_norm
        self.final_norm = build_norm(config) if has_final_norm else nn.Identity()
        self.head = Linear(config.d_model, vocabulary_size, bias=False, kind="head")
        if config.tied_head:
            self.head.weight = self.token_embedding.weight
        initialize(self, config, seed)

    def forward(self, tokens_BT: LongTensor) -> Tensor:
        """Logits of the next token at each position, (B, T, V).

        Raises:
            AblationError: the sequence is longer than the context.
        """
        logits_BTV: Tensor = self.head(self.features(tokens_BT))
        return logits_BTV

    def features(self, tokens_BT: LongTensor | Tensor) -> Tensor:
        """What the head reads at each position, (B, T, D).

        Raises:
            AblationError: the sequence is longer than the context.
        """
        time = tokens_BT.shape[1]
        length = self.advance(time) + time
        if length > self.config.context_length:
            raise AblationError(
                f"{length} tokens do not fit model.context_length = "
                f"{self.config.context_length}: shorten the sequence or raise context_length"
            )
        x_BTD = self.embedding_scale(self.position_embedding(self.token_embedding(tokens_BT)))
        x_BTD = self.dropout(x_BTD)
        for block in self.blocks:
            x_BTD = block(x_BTD)
        features_BTD: Tensor = self.final_norm(x_BTD)
        return features_BTD
