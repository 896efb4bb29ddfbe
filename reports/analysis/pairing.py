"""Whether runs that share a seed are paired: the same data, the same start of what they share.

All of it is read from the digests that the runs recorded (`studies.digests`): none is believed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, combinations_with_replacement
from typing import Any, NamedTuple, TypeVar

from reports.results.frame import StudyResults
from studies.configuration import Flat, flatten, with_values
from studies.digests import (
    EVALUATION_DATA,
    PROBE_DATA,
    Digests,
    InitialValue,
    initial_values,
    training_data,
)
from studies.plan import Column, Plan, PlannedRun
from studies.schema import DataConfig

D = TypeVar("D")

Sets = tuple[tuple[str, ...], ...]
"""Variants in the order of the plan, those that had the same together, the largest set first."""
Parameter = tuple[str, tuple[int, ...]]
"""Name and shape, by which variants share a parameter."""

_TEXT_KEYS = frozenset(f"data.{name}" for name in DataConfig.model_fields) - {
    "data.evaluation_tokens"
} | {"model.context_length"}
TRAINING_KEYS = _TEXT_KEYS | {"training.batch_size", "training.data_seed"}
"""Keys that decide the training batches of a step."""
EVALUATION_KEYS = _TEXT_KEYS | {"data.evaluation_tokens"}
PROBE_KEYS = _TEXT_KEYS | {"diagnostics.probe_tokens"}
INITIAL_VALUE_KEYS = frozenset(
    f"model.{name}" for name in ("d_model", "dyt_alpha", "initialization", "n_layers", "weights")
) | {"training.initialization_seed", "training.precision"}
"""Keys that change initial values of parameters of one name and shape."""


@dataclass(frozen=True)
class DataAgreement:
    """Which variants were given the same data, at one seed."""

    sets: Sets
    """More than one: not all had the same."""
    unknown: tuple[str, ...]
    """Variants that left no digest: not run, failed, or run by an earlier version."""
    varied: tuple[str, ...]
    """Keys that differ between the variants and decide the data: it cannot be the same."""
    as_designed: bool
    """Whether variants that differ in none of these keys had the same, as far as is known."""

    @property
    def same(self) -> bool | None:
        """Whether all variants had the same; None where fewer than two left a digest."""
        return len(self.sets) == 1 if sum(map(len, self.sets)) > 1 else None


@dataclass(frozen=True)
class UnequalStart:
    """A parameter that variants share by name and shape, and start from unequal values."""

    name: str
    shape: tuple[int, ...]
    sets: Sets
    """Variants that have it, those that start from equal values together."""

    @property
    def parameter(self) -> Parameter:
        """Its name and shape."""
        return self.name, self.shape


@dataclass(frozen=True)
class StartAgreement:
    """How many parameters variants share, and which of them start from unequal values."""

    parameters: int
    """Different names and shapes, over all variants."""
    common: tuple[Parameter, ...]
    """Of these, those that at least two variants have: of one name and one shape."""
    unequal: tuple[UnequalStart, ...]
    """In the order of the model."""
    known: tuple[str, ...]
    """Variants that left digests."""
    unknown: tuple[str, ...]
    """Variants that left none."""
    varied: tuple[str, ...]
    """Keys that differ between the variants and change initial values of what they share."""

    @property
    def is_known(self) -> bool:
        """Whether at least two variants can be compared."""
        return len(self.known) > 1

    @property
    def shared(self) -> int:
        """How many parameters at least two variants have."""
        return len(self.common)

    @property
    def equal(self) -> int:
        """How many shared parameters start from equal values in all variants that have them."""
        return self.shared - len(self.unequal)


@dataclass(frozen=True)
class SeedPairing:
    """How far the runs of one seed are paired."""

    seed: int
    training: DataAgreement
    training_steps: int | None
    """Steps at which training data was last compared, in the pair of runs of one set that had the
    fewest in common: those of a run that diverged. None where no set has two."""
    evaluation: DataAgreement
    probe: DataAgreement
    start: StartAgreement


@dataclass(frozen=True)
class Pairing:
    """How far the compared runs of a study are paired."""

    column: Column
    """The runs that were looked at."""
    seeds: tuple[SeedPairing, ...]
    """In the order of the study."""
    waiting: tuple[str, ...] = ()
    """Variants that have no such run yet: their search has not chosen."""


class _Compared(NamedTuple):
    """A planned run among those of its seed."""

    variant: str
    configuration: Flat
    digests: Digests
    """Empty where the run left none."""


def collect_pairing(results: StudyResults, column: Column | None = None) -> Pairing:
    """How far runs of one seed saw the same data and started from the same values.

    Args:
        results: the study.
        column: which runs are compared; None is those at the chosen values of the nuisance keys,
            or at the shared ones while a search has chosen none.
    """
    plan = results.plan
    column = column or ("tuned" if plan.choices else "shared")
    runs = [run for run in plan.runs if column in plan.columns_of(run)]
    # The order of the runs is that of their start.
    order = {cell.variant: place for place, cell in enumerate(plan.cells)}
    runs.sort(key=lambda run: order[run.variant])
    compared: dict[int, list[_Compared]] = {seed: [] for seed in plan.study.seeds}
    for run in runs:
        compared[run.seed].append(_compared(results, run))
    planned = {run.variant for run in runs}
    waiting = tuple(variant for variant in results.variants if variant not in planned)
    seeds = tuple(_pairing_of(seed, found) for seed, found in compared.items())
    return Pairing(column, seeds, waiting)


def _compared(results: StudyResults, run: PlannedRun) -> _Compared:
    record = results.records.get(run.run_key)
    configuration = _configuration(results.plan, run)
    return _Compared(run.variant, configuration, record.digests if record else {})


def _configuration(plan: Plan, run: PlannedRun) -> Flat:
    """Every key of the run, with the seeds that it really had; without those that drew nothing."""
    flat = flatten(with_values(plan.cell(run.variant).configuration, run.settings))
    for key in ("training.data_seed", "training.initialization_seed"):
        flat[key] = run.seed if flat.get(key) is None else flat[key]
    if flat.get("model.weights") is None:
        return {**flat, "model.weights": "drawn"}
    return flat | dict.fromkeys(("model.initialization", "training.initialization_seed"))


def _pairing_of(seed: int, runs: Sequence[_Compared]) -> SeedPairing:
    known = {run.variant: found for run in runs if (found := training_data(run.digests))}
    sets = _sets(known, _same_batches)
    steps = [found for members in sets for found in _common_steps([known[v] for v in members])]
    return SeedPairing(
        seed,
        training=_agreement(runs, sets, TRAINING_KEYS),
        training_steps=min(steps, default=None),
        evaluation=_fixed_agreement(runs, EVALUATION_DATA, EVALUATION_KEYS),
        probe=_fixed_agreement(runs, PROBE_DATA, PROBE_KEYS),
        start=_start_agreement(runs),
    )


def _common_steps(batches: Sequence[Mapping[int, str]]) -> Iterator[int]:
    """Last common steps of all pairs; of many pairs with the same steps once."""
    lengths = Counter(frozenset(steps) for steps in batches)
    for (one, count), (other, _) in combinations_with_replacement(lengths.items(), 2):
        if one is not other or count > 1:
            yield max(one & other)


def _last_common(one: Mapping[int, str], other: Mapping[int, str]) -> int:
    return max(one.keys() & other.keys())


def _same_batches(one: Mapping[int, str], other: Mapping[int, str]) -> bool:
    """Whether chains agree as far as both go: where they do, they do at every step before."""
    steps = _last_common(one, other)
    return one[steps] == other[steps]


def _fixed_agreement(runs: Sequence[_Compared], entry: str, keys: frozenset[str]) -> DataAgreement:
    known = {run.variant: run.digests[entry] for run in runs if entry in run.digests}
    return _agreement(runs, _sets(known, str.__eq__), keys)


def _agreement(runs: Sequence[_Compared], sets: Sets, keys: frozenset[str]) -> DataAgreement:
    decided = {run.variant: {key: run.configuration.get(key) for key in keys} for run in runs}
    known = {variant for members in sets for variant in members}
    return DataAgreement(
        sets,
        unknown=tuple(run.variant for run in runs if run.variant not in known),
        varied=_varied(decided.values()),
        as_designed=all(
            decided[one] != decided[other]
            for members, others in combinations(sets, 2)
            for one in members
            for other in others
        ),
    )


def _sets(values: Mapping[str, D], same: Callable[[D, D], bool]) -> Sets:
    """Variants with the same value together; each is the same as all others of its set."""
    sets: list[tuple[list[str], list[D]]] = []
    for variant, value in values.items():
        for members, different in sets:
            if value in different or all(same(value, other) for other in different):
                members.append(variant)
                different += [value] * (value not in different)
                break
        else:
            sets.append(([variant], [value]))
    return tuple(sorted((tuple(found) for found, _ in sets), key=len, reverse=True))


def _start_agreement(runs: Sequence[_Compared]) -> StartAgreement:
    values: dict[Parameter, dict[str, str]] = {}
    known: list[str] = []
    for run in runs:
        found: Mapping[str, InitialValue] = initial_values(run.digests)
        if found:
            known.append(run.variant)
        for name, (shape, digest) in found.items():
            values.setdefault((name, shape), {})[run.variant] = digest
    unequal = [
        UnequalStart(name, shape, _sets(digests, str.__eq__))
        for (name, shape), digests in values.items()
        if len(set(digests.values())) > 1
    ]
    return StartAgreement(
        parameters=len(values),
        common=tuple(parameter for parameter, digests in values.items() if len(digests) > 1),
        unequal=tuple(unequal),
        known=tuple(known),
        unknown=tuple(run.variant for run in runs if run.variant not in known),
        varied=_varied(
            {k: v for k, v in run.configuration.items() if v is not None and _decides_start(k)}
            for run in runs
        ),
    )


def _decides_start(key: str) -> bool:
    """A module of one's own draws in its own order, so any of its arguments may change any draw."""
    return key in INITIAL_VALUE_KEYS or key.startswith("module.")


def _varied(configurations: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Keys with different values in those configurations that have them, by name."""
    first: dict[str, Any] = {}
    varied = set()
    for configuration in configurations:
        for key, value in configuration.items():
            if first.setdefault(key, value) != value:
                varied.add(key)
    return tuple(sorted(varied))
