"""What a study will cost on this machine: its runs to come, each as long as it was measured."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from ablations.machine import Machine
from ablations.paces import Paces
from studies.budgets import known_vocabulary_size, training_tokens
from studies.estimates import estimate
from studies.expected_runs import ExpectedRuns, expected_runs, rounds
from studies.plan import FinetuningArm, Plan, Stage
from studies.run_spec import RunSpec
from studies.values import Scalar

WORKER_START_S = 5.0
"""Until a worker has imported what it needs."""
BETWEEN_RUNS_S = 0.15
"""For claiming a run, recording and sending it (`benchmarks/run_overhead.py`)."""
HOUR_S = 3600.0


class PricedRuns(NamedTuple):
    """Runs to come, and what one of them takes."""

    runs: ExpectedRuns
    seconds: float


@dataclass(frozen=True)
class Estimate:
    """What the runs to come will take."""

    priced: tuple[PricedRuns, ...]
    """In the order in which they are started."""
    machine: Machine
    rounds: int
    """Runs of a variant that have to come one after the other."""

    @property
    def count(self) -> int:
        """Runs to come."""
        return sum(runs.count for runs, _ in self.priced)

    @property
    def device_hours(self) -> float:
        """Time on all devices together."""
        busy_s = sum(runs.count * seconds for runs, seconds in self.priced)
        return busy_s * self.machine.devices_per_worker / HOUR_S

    @property
    def wall_s(self) -> float:
        """Time until the last run has ended, with workers that take the runs in their order.

        It is no less than what the runs of a variant take that wait for each other, fine-tunings
        for their pre-training among them.
        """
        free_at_s = [0.0] * self.machine.workers
        for runs, seconds in self.priced:
            for _ in range(runs.count):
                heapq.heapreplace(free_at_s, free_at_s[0] + seconds)
        longest_s: dict[bool, float] = {}
        for runs, seconds in self.priced:
            finetunes = runs.stage == "finetuning"
            longest_s[finetunes] = max(longest_s.get(finetunes, 0.0), seconds)
        in_turn_s = self.rounds * longest_s.get(False, 0.0) + longest_s.get(True, 0.0)
        return WORKER_START_S + max(*free_at_s, in_turn_s)

    def of(self, stage: Stage) -> Estimate:
        """The part of it that is of one stage."""
        return replace(self, priced=tuple(p for p in self.priced if p.runs.stage == stage))


class Costing:
    """Estimates what is to come of a plan, and measures no more than it is asked to."""

    def __init__(self, plan: Plan, cache: Path, machine: Machine, ended: Collection[str]) -> None:
        execution = plan.study.execution
        self._machine, self._rounds = machine, rounds(plan)
        self.paces = Paces(cache, execution, machine)
        self._alone = Paces(cache, execution, replace(machine, workers=1))
        self.expected = expected_runs(plan, ended)
        specs = dict(_specs(plan, self.expected))
        self._ways = {name: _way(runs.arm) for runs in self.expected for name in _names(runs)}
        self._timed_s = {
            name: 60 * minutes
            for name, spec in specs.items()
            if (minutes := spec.training.max_minutes) and spec.finetuning is None
        }
        """Runs of minutes take as long as they are told."""
        self._specs = {name: spec for name, spec in specs.items() if name not in self._timed_s}

    @property
    def kinds(self) -> int:
        """Runs that differ in more than the seed."""
        return len(self._specs)

    @property
    def largest(self) -> str:
        """What to call the run with the most FLOPs; it pre-trains, where such runs are to come."""
        return self._largest(self._specs)

    def rough_estimate(self, on_step: Callable[[str], None]) -> Estimate | None:
        """As if every run were the one with the most FLOPs, rehearsed alone unless it is known.

        Fine-tunings are each like that of the model with the most. None where one of these runs
        cannot be rehearsed, or runs take as long as they are told.
        """
        if self._timed_s:
            return None
        alike: dict[str, list[str]] = {}
        for name, way in self._ways.items():
            alike.setdefault(way, []).append(name)
        chosen = {way: self._largest(names) for way, names in alike.items()}
        unknown = {name: self._specs[name] for name in chosen.values()}
        unknown = {name: spec for name, spec in unknown.items() if not self.paces.of(spec)}
        self._alone.measure(unknown, on_step)
        run_s: dict[str, float] = {}
        for way, name in chosen.items():
            pace = self.paces.of(self._specs[name]) or self._alone.of(self._specs[name])
            if pace is None:
                return None
            run_s[way] = pace.run_s
        return self._priced(lambda runs: run_s[_way(runs.arm)])

    def estimate(self, on_step: Callable[[str], None]) -> Estimate | None:
        """Every run at its own pace, and one that cannot be rehearsed at that of the slowest.

        None where none can be.
        """
        self.paces.measure(self._specs, on_step)
        known = self.run_s()
        if not known:
            return None
        slowest = max(known.values())
        return self._priced(lambda runs: max(known.get(name, slowest) for name in _names(runs)))

    def run_s(self) -> dict[str, float]:
        """Seconds of each kind of run whose pace is known, by what to call it."""
        paces = {name: self.paces.of(spec) for name, spec in self._specs.items()}
        return self._timed_s | {name: pace.run_s for name, pace in paces.items() if pace}

    def errors(self) -> dict[str, str]:
        """What went wrong with each kind of run that could not be rehearsed."""
        keys = {name: self.paces.key(spec) for name, spec in self._specs.items()}
        return {n: self.paces.errors[k] for n, k in keys.items() if k in self.paces.errors}

    def _largest(self, names: Iterable[str]) -> str:
        return max(names, key=lambda name: _flops(self._specs[name]))

    def _priced(self, run_s: Callable[[ExpectedRuns], float]) -> Estimate:
        priced = (PricedRuns(runs, run_s(runs) + BETWEEN_RUNS_S) for runs in self.expected)
        return Estimate(tuple(priced), self._machine, self._rounds)


def _specs(plan: Plan, expected: Iterable[ExpectedRuns]) -> Iterator[tuple[str, RunSpec]]:
    """What to call each kind of run, and one of them: seeds make no difference."""
    cells = {cell.variant: cell for cell in plan.cells}
    for runs in expected:
        for name, settings in zip(_names(runs), runs.settings, strict=True):
            seed = plan.study.seeds[0]
            spec = cells[runs.variant].spec(seed, settings)
            yield name, plan.finetuned(spec, runs.arm, seed) if runs.arm else spec


def _names(runs: ExpectedRuns) -> list[str]:
    return [_name(runs.variant, settings) + _way(runs.arm) for settings in runs.settings]


def _name(variant: str, settings: Mapping[str, Scalar]) -> str:
    values = ", ".join(f"{key} = {value}" for key, value in settings.items())
    return f"{variant} at {values}" if values else variant


def _way(arm: FinetuningArm | None) -> str:
    """What a run fine-tunes on, and how; empty of one that pre-trains."""
    if arm is None:
        return ""
    return f" on {arm.task} with {arm.arm}" if arm.arm else f" on {arm.task}"


def _flops(spec: RunSpec) -> float:
    """Of pre-training, or of a token where that takes minutes; of one's own module, its tokens."""
    tokens = training_tokens(spec.model_dump()) or 1
    if spec.module is not None:
        return float(tokens)
    size = known_vocabulary_size(spec.data) or 1
    return tokens * estimate(spec.model, size).flops_per_token
