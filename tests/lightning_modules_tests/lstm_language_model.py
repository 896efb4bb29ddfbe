"""A worked example of a module of one's own: an LSTM language model.

Name it in a study by `module: {import_path: "lstm_language_model.py:LSTMLanguageModel"}`, with the
path relative to the study file. `hidden` is an argument of its own, and may be a factor as
`module.arguments.hidden`; `vocabulary_size` and `learning_rate` are filled from the run.
"""

from __future__ import annotations

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LSTMLanguageModel(pl.LightningModule):
    """Predicts the next token from an LSTM over the tokens so far."""

    def __init__(self, vocabulary_size: int, learning_rate: float, hidden: int = 32) -> None:
        super().__init__()
        self.learning_rate = learning_rate
        self.embedding = nn.Embedding(vocabulary_size, hidden)
        self.dropout = nn.Dropout(0.1)
        self.lstm = nn.LSTM(hidden, hidden, batch_first=True)
        self.head = nn.Linear(hidden, vocabulary_size)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (B, T, V): not required, but future tokens that leak are found by it."""
        states, _ = self.lstm(self.dropout(self.embedding(tokens)))
        return self.head(states)

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        """Mean loss, nats per token, of (B, T+1) tokens."""
        return F.cross_entropy(self(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())

    def validation_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        """The same on an evaluation batch."""
        return self.training_step(batch, batch_idx)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Any optimiser, with or without a schedule."""
        return torch.optim.Adam(self.parameters(), lr=self.learning_rate)
