"""The losses of a run, watched: for divergence and spikes in training, for a target at evaluation.

Training losses are kept on the device and judged when they are read.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

SPIKE_WINDOW, SPIKE_LEAST = 100, 20
SPIKE_DEVIATIONS = 7.0


class LossWatch:
    """Losses since the last reading, spikes, and the step at which the run diverged, if it did."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        """Nats per token above which a loss counts as divergence."""
        self._micro: list[Tensor] = []
        self._pending: list[Tensor] = []
        self._judged_until = 0
        self.last_finite: float | None = None
        self.diverged_at_step: int | None = None
        self.spikes = 0
        """Losses `SPIKE_DEVIATIONS` above the mean of the (up to) `SPIKE_WINDOW` before them."""
        self._recent: deque[float] = deque(maxlen=SPIKE_WINDOW)

    def start(self, step: int) -> None:
        """Begin an attempt that stands at an optimiser step."""
        self._judged_until = step

    @property
    def mid_step(self) -> bool:
        """Whether micro-batches of an unfinished optimiser step were entered."""
        return bool(self._micro)

    def add(self, loss: Tensor) -> None:
        """Enter a micro-batch's loss, divided by the number of micro-batches of the step."""
        self._micro.append(loss)

    def end_step(self) -> None:
        """The micro-batches so far were one optimiser step."""
        micro, self._micro = self._micro, []
        self._pending.append(micro[0] if len(micro) == 1 else torch.stack(micro).sum())

    def pending(self) -> Tensor:
        """Losses (K,) of the steps that are not judged yet, on their device."""
        return torch.stack(self._pending)

    def judge(self, losses: Sequence[float]) -> None:
        """Look at the pending losses, which were copied to the host, in order."""
        first_step = self._judged_until + 1
        self._judged_until += len(losses)
        self._pending = []
        for step, loss in enumerate(losses, first_step):
            if math.isfinite(loss):
                self.last_finite = loss
            if not math.isfinite(loss) or loss > self._limit:
                self.diverged_at_step = step
                return
            self.spikes += self._is_spike(loss)
            self._recent.append(loss)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {
            "last_finite": self.last_finite,
            "spikes": self.spikes,
            "recent": list(self._recent),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up where the checkpoint left off."""
        self.last_finite = state["last_finite"]
        self.spikes = state["spikes"]
        self._recent.extend(state["recent"])

    def _is_spike(self, loss: float) -> bool:
        if len(self._recent) < SPIKE_LEAST:
            return False
        mean = math.fsum(self._recent) / len(self._recent)
        variance = math.fsum((x - mean) ** 2 for x in self._recent) / len(self._recent)
        return loss - mean >= SPIKE_DEVIATIONS * math.sqrt(variance) > 0


class TargetWatch:
    """When the validation loss first reached a target: interpolated between two evaluations."""

    def __init__(self, target: float) -> None:
        self.target = target
        self.reached_at: float | None = None
        """Optimiser steps; None before."""
        self._before: tuple[int, float] | None = None

    def see(self, step: int, loss: float) -> None:
        """Enter an evaluation."""
        if self.reached_at is None and loss <= self.target:
            self.reached_at = self._crossing(step, loss)
        self._before = step, loss

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {"reached_at": self.reached_at, "before": self._before}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up where the checkpoint left off."""
        self.reached_at = state["reached_at"]
        self._before = state["before"] and tuple(state["before"])

    def _crossing(self, step: int, loss: float) -> float:
        if self._before is None:
            return float(step)
        earlier, higher = self._before
        return earlier + (step - earlier) * (higher - self.target) / (higher - loss)
