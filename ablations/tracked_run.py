"""What a run is called in the tracking store."""

from __future__ import annotations

from dataclasses import dataclass

from studies.configuration import leaf_name
from studies.plan import Column, Plan, PlannedRun, Stage
from studies.run_spec import RunSpec

NAME = "mlflow.runName"


@dataclass(frozen=True)
class TrackedRun:
    """A run with one seed, as its plan has it."""

    spec: RunSpec
    variant: str
    name: str
    stage: Stage
    columns: tuple[Column, ...]
    arm: str
    """How it fine-tunes, where that is a factor."""
    parent: str | None
    """Key of the run that it goes on from."""

    @classmethod
    def of(cls, plan: Plan, planned: PlannedRun) -> TrackedRun:
        """A run of a plan."""
        settings = "".join(f", {leaf_name(k)} {v}" for k, v in planned.settings.items())
        name = f"{planned.variant} seed {planned.seed}{settings}"
        if planned.task is not None:
            name += f", {' '.join(filter(None, [planned.task, planned.arm]))}"
        if planned.finetuning_seed not in (None, planned.seed):
            name += f" seed {planned.finetuning_seed}"
        return cls(
            plan.spec(planned),
            planned.variant,
            name,
            planned.stage,
            plan.columns_of(planned),
            planned.arm,
            planned.parent,
        )

    @property
    def kind(self) -> str:
        """What filters of views go by: `run`, or `finetuning`."""
        return "run" if self.spec.finetuning is None else "finetuning"

    def tags(self) -> dict[str, str]:
        """Tags that may change with the plan. A view of a column finds the runs of both, too."""
        tags = {
            "variant": self.variant,
            "stage": self.stage,
            "column": " and ".join(self.columns) or "none",
            NAME: self.name,
        }
        if self.spec.finetuning is not None:
            tags |= {"task": self.spec.finetuning.task, "parent_run_key": self.parent or "none"}
        return tags | ({"arm": self.arm} if self.arm else {})
