"""The plan of a study: its cells, what was merged or excluded and why, and the list of runs."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, get_args

from pydantic import Field

from studies.configuration import leaf_name, value_at, with_values
from studies.finetuning import Finetuning, FinetuningSettings
from studies.hypotheses import Contrast
from studies.protocol import Fixed
from studies.run_spec import RunSpec, digest
from studies.schema import Study
from studies.section import Section
from studies.tasks import Task
from studies.values import Scalar

NO_SETTINGS: Mapping[str, Scalar] = MappingProxyType({})

Stage = Literal["search", "report", "finetuning"]

Column = Literal["shared", "tuned"]
"""A comparison of all variants: at the same values of the nuisance keys, those of the base
configuration, or each at the values that its search chose."""


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

    def spec(self, seed: int, settings: Mapping[str, Scalar] = NO_SETTINGS) -> RunSpec:
        """The run of this cell with a seed, and with other values of nuisance keys."""
        changed = with_values(self.configuration, settings) if settings else self.configuration
        return RunSpec(**changed, seed=seed)


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
    """One cell with one seed, at one setting of the nuisance keys."""

    run_key: str
    variant: str
    seed: int
    settings: dict[str, Scalar] = Field(default_factory=dict)
    """Nuisance key to the value that stands for the cell's own."""
    stage: Stage = "report"
    """Whether the run chooses settings, is compared, or fine-tunes what is compared."""
    task: str | None = None
    """What it is fine-tuned on."""
    arm: str = ""
    """How it is fine-tuned, where that is a factor."""
    finetuning_seed: int | None = None
    parent: str | None = None
    """Key of the run that it goes on from."""

    @property
    def place(self) -> str:
        """What tells the run from others of its variant.

        `0`, `0@learning_rate=0.01`, or `0+sst2` and `0+sst2+auxiliary_weight=0+seed=1`.
        """
        settings = ",".join(f"{leaf_name(key)}={value}" for key, value in self.settings.items())
        place = f"{self.seed}@{settings}" if settings else str(self.seed)
        if self.task is None:
            return place
        own = [] if self.finetuning_seed == self.seed else [f"seed={self.finetuning_seed}"]
        return "+".join([place, self.task, *filter(None, [self.arm]), *own])

    @property
    def place_in_plan(self) -> tuple[str, str]:
        """What tells the run from all others."""
        return self.variant, self.place


class FinetuningArm(Section):
    """One way in which the models of a variant are fine-tuned on one task."""

    variant: str
    task: str
    arm: str
    """Name of its levels, the same for all variants and tasks; empty without factors."""
    levels: dict[str, Scalar]
    """Factor of fine-tuning to level, the task aside."""
    settings: FinetuningSettings


class Trial(Section):
    """A setting that the search of a variant tries on every search seed."""

    variant: str
    number: int
    """Counts the trials of a variant from 0."""
    settings: dict[str, Scalar]
    extension: bool = False
    """Whether it is beyond the values or the range that the study gave."""


class Extension(Section):
    """A step beyond the range that the study gave, tried for every variant."""

    key: str
    side: Literal["low", "high"]


class Choice(Section):
    """What the search of a variant came to."""

    settings: dict[str, Scalar]
    trial: int
    loss: float
    """Mean over the search seeds of min(final loss, loss at initialisation), nats per token."""
    edges: dict[str, Literal["low", "high"]]
    """Nuisance key to the end of its range on which the choice lies, where it does."""
    pruned: bool = False
    """Whether every trial of the variant was pruned, this one too: its loss is of a partial run."""


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
    contrasts: dict[str, Contrast] = Field(default_factory=dict)
    """The cells that each hypothesis compares."""
    runs: tuple[PlannedRun, ...]
    """In the order in which they are started: those of the search, then those of the chosen
    settings, then those of the shared ones; seed by seed, so that an unfinished study has every
    variant at the first seeds."""
    trials: tuple[Trial, ...] = ()
    """Of all searches so far."""
    extensions: tuple[Extension, ...] = ()
    """How far the ranges of the search were extended."""
    choices: dict[str, Choice] = Field(default_factory=dict)
    """Variant to the settings that its search chose."""
    tasks: dict[str, Task] = Field(default_factory=dict)
    """What is fine-tuned on, with the digests of the files."""
    arms: tuple[FinetuningArm, ...] = ()
    """How each variant is fine-tuned on each task."""
    finetuning_runs: tuple[PlannedRun, ...] = ()
    """In the order in which they are started, each once its parent has completed."""

    def cell(self, variant: str) -> Cell:
        """The cell of a variant."""
        return next(cell for cell in self.cells if cell.variant == variant)

    def arm(self, run: PlannedRun) -> FinetuningArm:
        """How a run fine-tunes."""
        place = run.variant, run.task, run.arm
        return next(a for a in self.arms if (a.variant, a.task, a.arm) == place)

    def levels_of(self, run: PlannedRun) -> dict[str, Scalar]:
        """Factor to level of a run, those of its fine-tuning included."""
        levels = self.cell(run.variant).levels
        return levels if run.task is None else {**levels, **self.arm(run).levels}

    def spec(self, run: PlannedRun) -> RunSpec:
        """The full spec of a planned run."""
        spec = self.cell(run.variant).spec(run.seed, run.settings)
        if run.task is None:
            return spec
        assert run.finetuning_seed is not None
        return self.finetuned(spec, self.arm(run), run.finetuning_seed)

    def finetuned(self, spec: RunSpec, arm: FinetuningArm, seed: int) -> RunSpec:
        """The spec of a run that fine-tunes the model of another one."""
        told = {**dict(arm.settings), "definition": self.tasks[arm.task]}
        return spec.model_copy(update={"finetuning": Finetuning(**told, seed=seed)})

    @property
    def all_runs(self) -> tuple[PlannedRun, ...]:
        """Every run of every stage, in the order in which they are started."""
        return self.runs + self.finetuning_runs

    def without_finetuning(self) -> Plan:
        """The plan of pre-training alone."""
        return self.model_copy(update={"tasks": {}, "arms": (), "finetuning_runs": ()})

    @property
    def is_settled(self) -> bool:
        """Whether the search has chosen for every variant, so that the list of runs is final."""
        return not self.nuisance or len(self.choices) == len(self.cells)

    @property
    def at_edge(self) -> frozenset[str]:
        """Variants whose search chose a value at the edge of what was tried."""
        return frozenset(variant for variant, choice in self.choices.items() if choice.edges)

    def pruner(self, stage: Stage) -> str | None:
        """Digest of what the study says of pruning the runs of a stage; None where none is."""
        pruning = self.study.protocol.pruning
        if pruning is None or pruning.stage != stage:
            return None
        return digest(pruning.model_dump(mode="json"))

    @property
    def pruners(self) -> dict[str, str | None]:
        """Run key to what `pruner` says of its stage."""
        of_stage = {stage: self.pruner(stage) for stage in get_args(Stage)}
        return {run.run_key: of_stage[run.stage] for run in self.all_runs}

    def prunes(self, run: PlannedRun) -> bool:
        """Whether a run may be pruned."""
        return self.pruner(run.stage) is not None

    @property
    def run_keys(self) -> frozenset[str]:
        """Keys of all runs."""
        return frozenset(run.run_key for run in self.all_runs)

    @property
    def nuisance(self) -> tuple[str, ...]:
        """Keys that the protocol searches."""
        return self.study.protocol.search.keys

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns that the study's comparison has, the one that ranks first."""
        return ("shared",) if isinstance(self.study.protocol.search, Fixed) else ("tuned", "shared")

    def settings(self, variant: str, settings: Mapping[str, Scalar]) -> dict[str, Scalar]:
        """Value of each nuisance key in the runs of a variant that have certain settings."""
        own = self.cell(variant).configuration
        return {key: settings.get(key, value_at(own, key)) for key in self.nuisance}

    def columns_of(self, run: PlannedRun) -> tuple[Column, ...]:
        """The columns that a run counts in; none for a run of the search."""
        if run.stage != "report":
            return ()
        at = self.settings(run.variant, run.settings)
        choice = self.choices.get(run.variant)
        of: dict[Column, bool] = {
            "tuned": choice is not None and at == choice.settings,
            "shared": at == self.settings(run.variant, NO_SETTINGS),
        }
        return tuple(column for column in self.columns if of[column])

    @property
    def asked(self) -> tuple[object, ...]:
        """What decides which runs there are, those that a search will ask for included."""
        cells = {cell.cell_key for cell in self.cells}
        finetuned = digest({"arms": [arm.model_dump(mode="json") for arm in self.arms]})
        tasks = {name: task.source_digest for name, task in self.tasks.items()}
        search = self.study.protocol.search
        return cells, set(self.study.seeds), search, finetuned, tasks, self.study.finetuning.seeds

    def reported_as(self, other: Plan) -> Plan | None:
        """This plan with what only a report reads of another one; None where other runs are meant.

        That is the question, the hypotheses, the section `report`, the baseline that it names, and
        of the protocol what asks for no run: another `pruning` trains again what was pruned.
        """
        if self.asked != other.asked:
            return None
        read = {name: getattr(other.study, name) for name in ("question", "hypotheses", "report")}
        pruned = {"pruning": self.study.protocol.pruning}
        read["protocol"] = other.study.protocol.model_copy(update=pruned)
        study = self.study.model_copy(update=read)
        kept = {"baseline": other.baseline, "contrasts": other.contrasts}
        return self.model_copy(update={"study": study, **kept})
