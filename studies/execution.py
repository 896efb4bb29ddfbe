"""How the runs of a study are executed."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from studies.section import Settings
from studies.values import level_of


class ExecutionConfig(Settings):
    """How runs are executed. Not part of a run's identity: changing it re-runs nothing."""

    accelerator: str = "auto"
    """Lightning accelerator."""
    devices: int = Field(1, ge=1)
    """Devices per run. Each has an equal share of a micro-batch; batch norms normalise the whole of
    it."""
    strategy: Literal["auto", "ddp", "ddp_find_unused_parameters_true"] = "auto"
    """Lightning strategy. None that shards parameters: norms and updates would be those of a
    shard."""
    checkpoint_every_s: float = Field(60.0, ge=0)
    """Seconds of training between checkpoints; 0 is after every step."""
    stall_minutes: float | None = Field(30.0, gt=0)
    """Minutes without an optimiser step, once there was one, after which the process that trains is
    taken to hang (in a collective, a driver, a file system) and ended: the run is tried again from
    its checkpoint. Give more than an evaluation takes. null waits for ever."""
    keep_weights: bool = True
    """Whether the folder of each compared run that completes keeps its weights and its tokeniser,
    for `ablate generate`: four bytes a parameter."""
    tracked_taps: tuple[Annotated[str, level_of("execution.tracked_taps")], ...] = ("residual",)
    """Taps whose curves are sent to MLflow. Those of the others are most of what a run records, and
    make the store and the UI's lists of runs twice as heavy; reports and `ablate show` have all."""
