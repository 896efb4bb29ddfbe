"""Does the future reach the present? Measured on the model, never believed from its name.

Legend: B batch, T time, V vocabulary.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from studies.errors import AblationError
from studies.records import Leak

TOLERANCE_EPS = 256
"""Rounding that is forgiven, in machine epsilons of the largest logit. A causal model computes
equal numbers for equal pasts, so what is left is the order of sums in batched kernels; a leak
through statistics over N tokens is of order 1/N."""

JITTER = 0.02
"""Standard deviation of the noise on the copy's parameters: a branch that starts at zero would
otherwise hide its leak until it is trained."""


class LeakNotMeasurable(AblationError):
    """A model on which the leak test says nothing."""


def measure_leak(
    model: nn.Module,
    *,
    vocabulary_size: int,
    sequence_length: int,
    batch_size: int = 4,
    draws: int = 2,
    seed: int = 0,
) -> Leak:
    """Label a model that maps tokens (B, T) to logits (B, T, V).

    Tokens from some position on are replaced, and no logit before that position may move: in
    training mode, and in evaluation mode after the running statistics have seen data. Dropout
    draws the same masks in both passes. All of it happens on a deep copy; the model, its
    buffers and the global random state stay as they are.

    Raises:
        LeakNotMeasurable: fewer than 2 tokens, or the logits have another shape, are not finite,
            or do not depend on the tokens at all.
    """
    if min(sequence_length, vocabulary_size) < 2:
        raise LeakNotMeasurable(
            f"a leak shows only between 2 tokens of 2 kinds: raise sequence_length "
            f"({sequence_length}) or vocabulary_size ({vocabulary_size})"
        )
    generator = torch.Generator().manual_seed(seed)
    probe = _Probe(_jittered_copy(model, generator), vocabulary_size, seed)
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    shape = (batch_size, sequence_length)
    batches = [
        torch.randint(vocabulary_size, shape, generator=generator).to(device) for _ in range(draws)
    ]
    starts = sorted({1, sequence_length // 2, sequence_length - 1})
    with torch.no_grad(), _random_state_kept(device):
        probe.model.train()
        leaks_in_training = any(probe.leaks(batch, t) for batch in batches for t in starts)
        for batch in batches:
            probe.model(batch)
        probe.model.eval()
        leaks_in_evaluation = any(probe.leaks(batch, t) for batch in batches for t in starts)
    if leaks_in_evaluation:
        return Leak.LEAKY
    return Leak.IN_TRAINING if leaks_in_training else Leak.CAUSAL


class _Probe:
    """Compares a model's logits for two continuations of the same beginnings."""

    def __init__(self, model: nn.Module, vocabulary_size: int, seed: int) -> None:
        self.model = model
        self.vocabulary_size = vocabulary_size
        self.seed = seed

    def leaks(self, tokens_BT: Tensor, start: int) -> bool:
        """Whether other tokens from `start` on change a logit before it."""
        # Rows change by different amounts: a norm over the batch centres out what they share.
        rows_B = torch.arange(len(tokens_BT), device=tokens_BT.device)
        shift_B = (1 + rows_B) % self.vocabulary_size
        other_BT = tokens_BT.clone()
        other_BT[:, start:] = (tokens_BT[:, start:] + shift_B[:, None]) % self.vocabulary_size
        logits_BTV, others_BTV = self._logits(tokens_BT), self._logits(other_BT)
        change_T = (logits_BTV - others_BTV).abs().amax(dim=(0, 2))
        tolerance = TOLERANCE_EPS * torch.finfo(logits_BTV.dtype).eps * logits_BTV.abs().max()
        if not bool((change_T[start:] > tolerance).any()):
            raise LeakNotMeasurable(
                f"{type(self.model).__name__}: logits do not depend on the tokens, so nothing can "
                "be said about leaks; does forward(tokens) return the logits of these tokens?"
            )
        return bool((change_T[:start] > tolerance).any())

    def _logits(self, tokens_BT: Tensor) -> Tensor:
        """Logits from the same random state and buffers every time."""
        saved = [buffer.clone() for buffer in self.model.buffers()]
        torch.manual_seed(self.seed)
        logits_BTV = self.model(tokens_BT)
        for buffer, value in zip(self.model.buffers(), saved, strict=True):
            buffer.copy_(value)
        return self._checked(logits_BTV, tokens_BT)

    def _checked(self, logits_BTV: object, tokens_BT: Tensor) -> Tensor:
        name = type(self.model).__name__
        if not isinstance(logits_BTV, Tensor) or logits_BTV.shape[:-1] != tokens_BT.shape:
            shape = getattr(logits_BTV, "shape", None)
            came = type(logits_BTV).__name__ if shape is None else tuple(shape)
            raise LeakNotMeasurable(
                f"{name}: forward gave {came} for tokens {tuple(tokens_BT.shape)}; make it map "
                "tokens (B, T) to logits (B, T, vocabulary)"
            )
        if not bool(torch.isfinite(logits_BTV).all()):
            raise LeakNotMeasurable(
                f"{name}: logits are not finite before training; check the initialisation"
            )
        return logits_BTV


def _jittered_copy(model: nn.Module, generator: torch.Generator) -> nn.Module:
    """A copy in at least single precision whose trainable parameters are nowhere exactly zero."""
    duplicate = copy.deepcopy(model)
    if any(t.dtype in (torch.float16, torch.bfloat16) for t in duplicate.parameters()):
        duplicate = duplicate.float()
    with torch.no_grad():
        for parameter in duplicate.parameters():
            if parameter.requires_grad and parameter.is_floating_point():
                noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float32)
                parameter.add_(noise.to(parameter), alpha=JITTER)
    return duplicate


@contextmanager
def _random_state_kept(device: torch.device) -> Iterator[None]:
    """Restores the global random state of the CPU and of the device."""
    if device.type == "cpu":
        kept = torch.random.fork_rng(devices=[])
    else:
        kept = torch.random.fork_rng(devices=[device], device_type=device.type)
    with kept:
        yield
