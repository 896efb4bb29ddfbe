"""What a run is given besides its model: data, schedule, sink, and whom to ask on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lightning_modules.digests import SeenBatches
from lightning_modules.schedule import Schedule
from lightning_modules.stream import FixedBatches
from studies.records import MetricSink
from studies.run_spec import RunSpec

ShouldPrune = Callable[[int, float], bool]
"""Whether to end a run here, from the optimiser step and the validation loss, nats per token."""


def go_on(step: int, loss: float) -> bool:
    """Prunes nothing."""
    return False


@dataclass(frozen=True)
class RunContext:
    """What the callback needs to know about a run."""

    spec: RunSpec
    schedule: Schedule
    """Shared with the module, whose learning rate goes by it."""
    vocabulary_size: int
    target_loss: float
    """Validation loss whose first reaching is noted, nats per token."""
    batches: FixedBatches
    """On the host."""
    seen: SeenBatches
    """What the training stream hands out."""
    sink: MetricSink
    directory: Path
    """Where checkpoints go."""
    checkpoint_every_s: float
    should_stop: Callable[[], bool]
    """Asked after every optimiser step."""
    should_prune: ShouldPrune
    """Asked on the first rank after each evaluation but the last."""
