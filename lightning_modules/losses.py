"""The training losses of a run: kept on the device, judged for divergence when they are read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


class LossWatch:
    """Losses since the last reading, and the step at which the run diverged, if it did."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        """Nats per token above which a loss counts as divergence."""
        self._micro: list[Tensor] = []
        self._pending: list[Tensor] = []
        self._judged_until = 0
        self.last_finite: float | None = None
        self.diverged_at_step: int | None = None

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

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {"last_finite": self.last_finite}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up where the checkpoint left off."""
        self.last_finite = state["last_finite"]
