"""A GPT with a linear head that reads the last token of each row.

Legend: N rows, T time, D model, E examples, C labels or answers, V vocabulary.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_modules.finetuning.batches import NO_TARGET, TaskBatch
from lightning_modules.gpt.initialization import GPT_STD
from lightning_modules.gpt.layers import Linear
from lightning_modules.gpt.model import GPT
from lightning_modules.seeding import stream_seed
from studies.tasks import Task


class TaskOutputs(NamedTuple):
    """What a model says of a batch."""

    logits_EC: Tensor
    """Of labels or answers; (E, 1) numbers in regression."""
    language_model_loss: Tensor | None
    """Mean over the tokens of all rows, nats per token; None where it was not asked for."""


class TaskModel(nn.Module):
    """Maps rows of tokens to logits of a task. Source: Radford et al. 2018, section 3.3."""

    def __init__(self, gpt: GPT, task: Task, *, dropout: float, seed: int) -> None:
        """The head starts from N(0, .02²), as GPT-1's, drawn from the seed of fine-tuning."""
        super().__init__()
        self.gpt = gpt
        self._form = task.form
        self._rows = len(task.choices) or (2 if task.form == "similarity" else 1)
        self.dropout = nn.Dropout(dropout)
        self.task_head = Linear(gpt.config.d_model, task.outputs, bias=False, kind="head")
        generator = torch.Generator().manual_seed(stream_seed(seed, "task_head"))
        nn.init.normal_(self.task_head.weight, std=GPT_STD, generator=generator)

    def forward(self, batch: TaskBatch, *, auxiliary: bool = False) -> TaskOutputs:
        """Logits, and where `auxiliary` the loss of predicting the rows' tokens."""
        features_NTD = self.gpt.features(batch.tokens_NT)
        rows_N = torch.arange(len(batch.last_N), device=features_NTD.device)
        read_ED = features_NTD[rows_N, batch.last_N]
        if self._form == "similarity":
            read_ED = read_ED.reshape(-1, self._rows, read_ED.shape[-1]).sum(1)
        logits_EC = self.task_head(self.dropout(read_ED))
        if self._form == "multiple_choice":
            logits_EC = logits_EC.reshape(-1, self._rows)
        loss = self._language_model_loss(features_NTD, batch) if auxiliary else None
        return TaskOutputs(_precise(logits_EC), loss)

    def _language_model_loss(self, features_NTD: Tensor, batch: TaskBatch) -> Tensor:
        is_target_NT = batch.targets_NT != NO_TARGET
        logits_KV = self.gpt.head(features_NTD[is_target_NT])
        return F.cross_entropy(_precise(logits_KV), batch.targets_NT[is_target_NT])


def _precise(logits: Tensor) -> Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


@torch.no_grad()
def with_more_tokens(gpt: GPT, tokens: int, *, seed: int) -> GPT:
    """The same model with further tokens behind its vocabulary, drawn from a seed."""
    if not tokens:
        return gpt
    larger = GPT(gpt.config, gpt.vocabulary_size + tokens, seed=seed)
    theirs = larger.state_dict()
    for name, value in gpt.state_dict().items():
        target = theirs[name]
        (target if target.shape == value.shape else target[: len(value)]).copy_(value)
    return larger
