"""A model by whose work alone time goes by."""

from __future__ import annotations

from torch import Tensor

from tests.lightning_modules_tests.own_modules import Stacked


class Watch:
    """Seconds since its making, as `time.perf_counter` would have them."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


WATCH = Watch()


class TickingModel(Stacked):
    """A sequence takes a quarter of a second to train on, and a sixteenth to be evaluated."""

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        WATCH.now_s += len(batch) / 4
        return super().training_step(batch, batch_idx)

    def validation_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        WATCH.now_s += len(batch) / 16
        return super().training_step(batch, batch_idx)
