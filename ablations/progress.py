"""How far a study is: counts by state, the running runs, and the time that is left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from ablations.run_status import RunState, RunStatus
from studies.finetuning_plan import finetunings
from studies.plan import Plan, PlannedRun
from studies.protocol_levels import runs_of_a_cell


@dataclass(frozen=True)
class RunningRun:
    """A run that a worker is training."""

    run: PlannedRun
    step: int
    minutes: float
    """Of training, told in a run of minutes."""
    max_steps: int | None
    """None of a run that fine-tunes: a data set has not been counted for it."""
    max_minutes: float | None

    @property
    def done(self) -> float:
        """Share of the run that is behind it."""
        if self.max_minutes is not None:
            return self.minutes / self.max_minutes
        return self.step / self.max_steps if self.max_steps else 0.0

    def place(self) -> str:
        """Where it stands: `step 15/30`, `step 812, 1.38/5 minutes`."""
        if self.max_minutes is not None:
            return f"step {self.step}, {self.minutes:.3g}/{self.max_minutes:g} minutes"
        of = f"/{self.max_steps}" if self.max_steps else ""
        task = f"{self.run.task}, " if self.run.task else ""
        return f"{task}step {self.step}{of}"


@dataclass(frozen=True)
class Progress:
    """A snapshot of a study."""

    counts: Mapping[RunState, int]
    total: int
    running: tuple[RunningRun, ...]
    work_done: float
    """Runs' worth of work done, parts of running ones included."""
    to_come: int = 0
    """Runs that a search will still ask for, about."""
    is_searching: bool = False
    """Whether the search of a variant goes on; a failed run holds up that of its own."""

    @property
    def expected(self) -> int:
        """Runs that there will be."""
        return self.total + self.to_come

    @property
    def ended(self) -> int:
        """Runs to which nothing more happens."""
        return sum(count for state, count in self.counts.items() if state.is_ended())

    @property
    def is_complete(self) -> bool:
        """Whether every planned run has ended."""
        return self.ended == self.total

    @property
    def is_over(self) -> bool:
        """Whether every run has ended, and no search asks for another."""
        return self.is_complete and not self.is_searching

    @property
    def _of(self) -> str:
        return f"~{self.expected}" if self.to_come else str(self.total)

    def line(self) -> str:
        """Counts in a line: `12/56 runs ended, 1 diverged, 0 failed, 2 running`."""
        count = self.counts.get
        rare = (RunState.PRUNED, RunState.SKIPPED)
        told = "".join(f"{count(state)} {state}, " for state in rare if count(state))
        return (
            f"{self.ended}/{self._of} runs ended, {count(RunState.DIVERGED, 0)} diverged, {told}"
            f"{count(RunState.FAILED, 0)} failed, {count(RunState.RUNNING, 0)} running"
        )


def measure(plan: Plan, statuses: Mapping[str, RunStatus]) -> Progress:
    """The progress of a plan by the ledger's word."""
    counts = Counter(statuses[run.run_key].state for run in plan.all_runs)
    running = []
    for run in plan.all_runs:
        status = statuses[run.run_key]
        if status.state is RunState.RUNNING:
            running.append(RunningRun(run, status.step, status.minutes, *_length(plan, run)))
    done = sum(n for state, n in counts.items() if state.is_ended())
    partial = sum(r.done for r in running)
    planned = len(plan.all_runs)
    guess = len(plan.cells) * runs_of_a_cell(plan.study) + finetunings(plan)
    return Progress(
        counts,
        planned,
        tuple(running),
        done + partial,
        0 if plan.is_settled else max(0, guess - planned),
        _is_searching(plan, statuses),
    )


def _length(plan: Plan, run: PlannedRun) -> tuple[int | None, float | None]:
    """Steps and minutes of a run."""
    if run.task is not None:
        return None, None
    training = plan.spec(run).training
    return training.max_steps, training.max_minutes


def _is_searching(plan: Plan, statuses: Mapping[str, RunStatus]) -> bool:
    """Whether a variant waits for its choice, and for none of its runs to be mended."""
    if plan.is_settled:
        return False
    held_up = {
        run.variant
        for run in plan.runs
        if run.stage == "search" and statuses[run.run_key].state is RunState.FAILED
    }
    return any(c.variant not in plan.choices and c.variant not in held_up for c in plan.cells)


class RemainingTime:
    """Time left, from the pace since the first snapshot."""

    def __init__(self) -> None:
        self._start: tuple[float, float] | None = None

    def estimate_s(self, progress: Progress, now_s: float) -> float | None:
        """Seconds left, None while there is no pace to go by."""
        if self._start is None:
            self._start = (now_s, progress.work_done)
        since, at_first = self._start
        pace = (progress.work_done - at_first) / (now_s - since) if now_s > since else 0.0
        return (progress.expected - progress.work_done) / pace if pace > 0 else None
