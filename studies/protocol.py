"""The protocol of a study: what every variant is given alike, so that comparing them is fair."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from studies.section import Section, Settings
from studies.values import Scalar, Seed, different, level_of

SEARCH_SEEDS_FROM = 10_000
"""A number n of search seeds stands for the n seeds from here on: far from report seeds."""

SearchSeeds = Annotated[tuple[Seed, ...], AfterValidator(different)]


class Fixed(Section):
    """No search: every variant at the values of the base configuration."""

    kind: Literal["fixed"] = "fixed"

    @property
    def keys(self) -> tuple[str, ...]:
        """Nuisance keys."""
        return ()


class Sweep(Section):
    """Every variant at every value, then fresh seeds at the best one."""

    kind: Literal["sweep"]
    values: dict[str, tuple[Scalar, ...]] = Field(min_length=1)
    """Nuisance key to its values, such as `training.learning_rate: [3e-4, 1e-3, 3e-3]`. Several
    keys are combined in full."""
    seeds: SearchSeeds = Field((SEARCH_SEEDS_FROM, SEARCH_SEEDS_FROM + 1), min_length=1)
    """Seeds of the search, none of them among the study's; a number n stands for 10000 to
    10000+n-1."""
    extend: int = Field(1, ge=0, le=10)
    """How often values are extended by one step on each side, for every variant, while the best of
    any variant is the outermost. What is still at an edge after that is marked."""

    @property
    def keys(self) -> tuple[str, ...]:
        """Nuisance keys."""
        return tuple(self.values)

    @property
    def tried(self) -> Mapping[str, Range | tuple[Scalar, ...]]:
        """What is tried of each key."""
        return self.values


class Range(Settings):
    """The numbers between two ends."""

    low: int | float
    """Least value."""
    high: int | float
    """Greatest value."""
    scale: Literal["log", "linear"] = "log"
    """How the search measures distances."""


class Tune(Section):
    """Optuna searches for each variant, all with the same trials, then fresh seeds at the best."""

    kind: Literal["tune"]
    ranges: dict[str, Range | tuple[Scalar, ...]] = Field(min_length=1)
    """Nuisance key to a mapping with `low` and `high`, or to a list of values to choose from."""
    trials: int = Field(12, ge=1, le=1000)
    """Trials of each variant."""
    at_once: int = Field(4, ge=1)
    """Trials of a variant that are proposed together, each from the results of those before. The
    search then does not depend on how many workers there are."""
    sampler: Annotated[str, level_of("protocol.search.sampler")] = "tpe"
    """Optuna sampler."""
    seeds: SearchSeeds = Field((SEARCH_SEEDS_FROM, SEARCH_SEEDS_FROM + 1), min_length=1)
    """Seeds of the search, none of them among the study's; a number n stands for 10000 to
    10000+n-1."""
    extend: int = Field(1, ge=0, le=10)
    """How often a range is extended by one step (the distance of `trials` evenly spread ones) on
    each side, by one more trial of every variant, while the best of any variant is at its edge.
    What is still at an edge after that is marked."""

    @property
    def keys(self) -> tuple[str, ...]:
        """Nuisance keys."""
        return tuple(self.ranges)

    @property
    def tried(self) -> Mapping[str, Range | tuple[Scalar, ...]]:
        """What is tried of each key."""
        return self.ranges


Search = Annotated[Fixed | Sweep | Tune, Field(discriminator="kind")]


class Budget(Settings):
    """What each run may spend; one of these."""

    tokens: float | None = Field(None, gt=0)
    """Training tokens."""
    flops: float | None = Field(None, gt=0)
    """Floating-point operations of training, forward and backward, as `ablate plan` counts them."""
    minutes: float | None = Field(None, gt=0)
    """Minutes of training on an idle machine; the learning rate decays over them. How many steps
    that is depends on the machine: such runs cannot be repeated to the digit."""

    @model_validator(mode="after")
    def _one(self) -> Budget:
        if len(self.model_dump(exclude_none=True)) != 1:
            raise ValueError("one of tokens, flops and minutes|give exactly one of them")
        return self


class Pruning(Section):
    """Ending early what is hopeless. What was pruned has no final loss and is never ranked."""

    pruner: Annotated[str, level_of("protocol.pruning.pruner")] = "median"
    """Optuna pruner. All but `wilcoxon` look at the validation loss of a run at its evaluations;
    `wilcoxon` looks at the seeds of a setting or variant that have ended."""
    options: dict[str, Scalar] = Field(default_factory=dict)
    """Options of the pruner, as Optuna names them; a step is an optimiser step."""
    stage: Literal["search", "report"] = "search"
    """Which runs may be pruned: those of the search, each held against the other settings of its
    variant on the same seed, or those that the report compares, each against the others of the same
    seed."""


class Protocol(Section):
    """What makes the comparison fair."""

    search: Search = Field(default_factory=Fixed)
    """How nuisance keys such as the learning rate are set: `fixed`, or a mapping with a `kind` and
    its own keys. With a sweep or a tuning, the report compares variants at their best values, and
    beside it at the shared ones of the base configuration."""
    match: Literal["parameters", "flops", "none"] = "parameters"
    """What the hidden width of a gated feed-forward keeps equal to that of an ungated one, which
    has a matrix less; `none` keeps the width."""
    tolerance: float = Field(0.01, gt=0, lt=1)
    """Deviation from the baseline in what is matched that is worth no word."""
    beyond_tolerance: Literal["mark", "refuse"] = "mark"
    """What becomes of a variant that deviates by more: a mark in plan and report, or an error."""
    budget: Budget | None = None
    """What each run may spend, in tokens, FLOPs or minutes; null is `training.max_steps` steps."""
    pruning: Pruning | None = None
    """Which runs are ended early; null prunes nothing."""
    unequal_budgets: str | None = Field(None, min_length=1)
    """Why variants are given different numbers of training tokens, where they are meant to be:
    without a reason, `ablate check` and `ablate run` refuse. Printed in the report."""
