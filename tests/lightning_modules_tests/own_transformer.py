"""A transformer of one's own, of torch's parts alone: what diagnostics find by patterns of names.

Its study says `diagnostics: {modules: {block: layers.*, attention: layers.*.attention, ...}}`.
"""

from __future__ import annotations

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Layer(nn.Module):
    """A pre-norm block."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.norm2 = nn.LayerNorm(width)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, 4 * width), nn.ReLU(inplace=True), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        y, time = self.norm1(x), x.shape[1]
        mask = nn.Transformer.generate_square_subsequent_mask(time, device=x.device)
        x = x + self.attention(y, y, y, attn_mask=mask, need_weights=False, is_causal=True)[0]
        return x + self.feed_forward(self.norm2(x))


class OwnTransformer(pl.LightningModule):
    """Predicts the next token."""

    def __init__(
        self, vocabulary_size: int, context_length: int, learning_rate: float, width: int = 16
    ) -> None:
        super().__init__()
        self.learning_rate = learning_rate
        self.tokens = nn.Embedding(vocabulary_size, width)
        self.positions = nn.Embedding(context_length, width)
        self.layers = nn.ModuleList(Layer(width, 2) for _ in range(2))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary_size)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.tokens(tokens) + self.positions.weight[: tokens.shape[1]]
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x))

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        loss = F.cross_entropy(self(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())
        self.log("own_loss", loss)
        return loss

    def validation_step(self, batch: Tensor, batch_idx: int) -> dict[str, Tensor]:
        return {"loss": self.training_step(batch, batch_idx)}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=self.learning_rate)
