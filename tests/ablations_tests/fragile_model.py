"""A bigram model whose seed 1 breaks at step 10 while a file exists, or hangs if that says so."""

import time
from pathlib import Path

import pytorch_lightning as pl
import torch
from torch import nn
from torch.nn import functional as F


class FragileModel(pl.LightningModule):
    def __init__(self, vocabulary_size: int, learning_rate: float, seed: int, switch: str) -> None:
        super().__init__()
        self.learning_rate, self.seed, self.switch = learning_rate, seed, Path(switch)
        self.logits = nn.Embedding(vocabulary_size, vocabulary_size)

    def forward(self, tokens):
        return self.logits(tokens)

    def training_step(self, batch, batch_idx):
        if self.seed == 1 and self.global_step >= 10 and self.switch.exists():
            if self.switch.read_text() == "hang":
                self.switch.unlink()
                time.sleep(3600)
            raise RuntimeError("the scratch disk went away")
        return F.cross_entropy(self(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())

    def validation_step(self, batch, batch_idx):
        return F.cross_entropy(self(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.learning_rate)
