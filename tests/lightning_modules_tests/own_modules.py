"""LightningModules as users write them, each with a habit that what looks inside must bear."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Base(pl.LightningModule):
    """Predicts the next token from `forward(tokens)`, by plain gradient descent."""

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return F.cross_entropy(self(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())

    def validation_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return self.training_step(batch, batch_idx)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Block(nn.Module):
    """A pre-norm residual layer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.linear = nn.LayerNorm(width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.tanh(self.linear(self.norm(x)))


class Stacked(Base):
    """Embedding, layers, head."""

    def __init__(self, vocabulary_size: int, width: int = 16) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, width)
        self.layers = nn.ModuleList(Block(width) for _ in range(2))
        self.head = nn.Linear(width, vocabulary_size)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embedding(tokens)
        for layer in self.layers:
            x = layer(x)
        return self.head(x)


class Recycled(Stacked):
    """One block that is used three times, as in ALBERT."""

    def __init__(self, vocabulary_size: int) -> None:
        super().__init__(vocabulary_size)
        self.layers = nn.ModuleList([self.layers[0]] * 3)


class Aliased(Stacked):
    """Its layers have a second name."""

    def __init__(self, vocabulary_size: int) -> None:
        super().__init__(vocabulary_size)
        self.encoder = self.layers


class SharedNorm(Stacked):
    """One norm in all layers."""

    def __init__(self, vocabulary_size: int) -> None:
        super().__init__(vocabulary_size)
        self.layers[1].norm = self.layers[0].norm


class Head(nn.Module):
    """One head of attention, written out."""

    def __init__(self, width: int, head_width: int) -> None:
        super().__init__()
        self.parts = nn.ModuleList(nn.Linear(width, head_width, bias=False) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        queries, keys, values = (part(x) for part in self.parts)
        future = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).triu(1)
        scores = queries @ keys.mT / keys.shape[-1] ** 0.5
        return scores.masked_fill(future, -torch.inf).softmax(-1) @ values


class HeadsInAList(nn.Module):
    """Attention that keeps its heads in a list named `heads`, as tutorials do."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(Head(width, width // 2) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([head(x) for head in self.heads], dim=-1)


class Tutorial(Stacked):
    """Has such attention in every layer."""

    def __init__(self, vocabulary_size: int) -> None:
        super().__init__(vocabulary_size)
        for layer in self.layers:
            layer.linear = HeadsInAList(16)


class DefaultTypePositions(Stacked):
    """Makes a tensor in forward, in whatever type is the default."""

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embedding(tokens)
        x = x + torch.linspace(0, 1, x.shape[-1], device=x.device)
        for layer in self.layers:
            x = layer(x)
        return self.head(x)


class NeedsAutocast(Stacked):
    """Feeds a half-precision buffer to a layer, which only autocast makes fit."""

    mask: Tensor

    def __init__(self, vocabulary_size: int) -> None:
        super().__init__(vocabulary_size)
        self.register_buffer("mask", torch.ones(16, dtype=torch.bfloat16))

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embedding(tokens)
        return self.head((x * self.mask).bfloat16() + self.layers[1](self.layers[0](x)).bfloat16())


class Cautious(Stacked):
    """Refuses a schedule that makes no sense."""

    def __init__(self, vocabulary_size: int, max_steps: int, warmup_steps: int) -> None:
        super().__init__(vocabulary_size)
        assert warmup_steps < max_steps


class Fused(Stacked):
    """Has a fused optimiser."""

    def configure_optimizers(self) -> Any:
        return torch.optim.AdamW(self.parameters(), fused=True)


class BatchNormed(Stacked):
    """Normalises its embeddings with torch's batch norm."""

    def __init__(self, vocabulary_size: int) -> None:
        super().__init__(vocabulary_size)
        self.norm = nn.BatchNorm1d(16)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.norm(self.embedding(tokens).mT).mT
        for layer in self.layers:
            x = layer(x)
        return self.head(x)
