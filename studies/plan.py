"""The plan of a study: its cells, what was merged or excluded and why, and the list of runs."""

from __future__ import annotations

from typing import Any, Literal

from studies.run_spec import RunSpec
from studies.schema import Study
from studies.section import Section
from studies.values import Scalar


class Cell(Section):
    """One combination of levels after canonicalisation."""

    variant: str
    """Readable name, unique in the plan."""
    cell_key: str
    levels: dict[str, Scalar]
    """Factor to canonical level; null where it means nothing here, "null" for a real null."""
    configuration: dict[str, Any]
    """Resolved run configuration, section by section, without the seed."""
    parameters: int | None
    """Estimated trainable parameters; null for a module of one's own."""
    flops_per_token: float | None
    """Estimated forward and backward FLOPs per token; null for a module of one's own."""

    def spec(self, seed: int) -> RunSpec:
        """The run of this cell with a seed."""
        return RunSpec(**self.configuration, seed=seed)


class Merge(Section):
    """A combination that is the same model as another one."""

    levels: dict[str, Scalar]
    into: str
    """Variant that stands for both."""
    rules: tuple[str, ...]


class Excluded(Section):
    """A combination that the study leaves out."""

    levels: dict[str, Scalar]
    because: str


class PlannedRun(Section):
    """One cell with one seed."""

    run_key: str
    variant: str
    seed: int


class Plan(Section):
    """Everything that a study will run. `plan.json` is this, and reports start from it."""

    plan_version: Literal[1] = 1
    study: Study
    overrides: dict[str, Any]
    """What `--set` changed: key to value."""
    baseline: str
    """Variant that the report compares the others with."""
    combinations: int
    """Combinations of the design before merging and excluding."""
    cells: tuple[Cell, ...]
    merged: tuple[Merge, ...]
    excluded: tuple[Excluded, ...]
    runs: tuple[PlannedRun, ...]
    """Seed by seed, so that an unfinished study has every variant at the first seeds."""

    def cell(self, variant: str) -> Cell:
        """The cell of a variant."""
        return next(cell for cell in self.cells if cell.variant == variant)

    def spec(self, run: PlannedRun) -> RunSpec:
        """The full spec of a planned run."""
        return self.cell(run.variant).spec(run.seed)

    def reported_as(self, other: Plan) -> Plan | None:
        """This plan with what only a report reads of another one; None where other runs are meant.

        That is the question, the section `report`, and the baseline that it names.
        """
        if set(self.runs) != set(other.runs):
            return None
        update = {"question": other.study.question, "report": other.study.report}
        study = self.study.model_copy(update=update)
        return self.model_copy(update={"study": study, "baseline": other.baseline})
