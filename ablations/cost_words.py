"""What a study costs, in words and in a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import get_args

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ablations.cost import Costing, Estimate
from ablations.numerals import significant
from studies.errors import AblationError
from studies.expected_runs import most_extension_runs
from studies.plan import Plan, Stage


def duration(seconds: float) -> str:
    """A length of time in the unit that suits it: `40 s`, `25 min`, `3.2 h`, `4 days`."""
    for unit, length_s in (("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length_s or (unit == "h" and seconds >= length_s):
            return f"{significant(seconds / length_s, 2)} {unit}"
    return f"{significant(seconds, 2)} s"


def spending(estimate: Estimate) -> str:
    """Time on devices, which ones, and how long that is: `12 GPU-hours on 8 GPUs (1.5 h)`."""
    machine, hours = estimate.machine, significant(estimate.device_hours, 2)
    return f"{hours} {machine.unit} on {machine.devices} ({duration(estimate.wall_s)})"


def show_cost(console: Console, plan: Plan, costing: Costing) -> None:
    """Measure what is not known, then print runs, time and what was assumed.

    Raises:
        AblationError: no run can be rehearsed.
    """
    if not costing.expected:
        console.print("nothing to run: every run has ended")
        return
    with console.status("measuring") as status:
        estimate = costing.estimate(status.update)
    if estimate is None:
        name, error = next(iter(costing.errors().items()))
        raise AblationError(
            f"no run of study {plan.study.name!r} can be rehearsed; {name}: {error}. "
            "`ablate check` says more."
        )
    console.print(_stages(estimate))
    for line in _lines(plan, estimate, costing):
        console.print(line, soft_wrap=not console.is_terminal)


def _lines(plan: Plan, estimate: Estimate, costing: Costing) -> Iterator[Text]:
    """What it comes to, and what that rests on."""
    yield Text(_lengths(costing.run_s()))
    total = f"in all {estimate.count:,} runs: {spending(estimate)}"
    yield Text(f"{total}, {estimate.machine.device}")
    for line in unmeasured(costing):
        yield Text.assemble(("note: ", "yellow"), line)
    for line in _assumptions(plan, estimate, costing):
        yield Text(f"assumed: {line}")


def _stages(estimate: Estimate) -> Table:
    """Runs and time of each stage."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("stage", "runs", estimate.machine.unit):
        table.add_column(name, justify="left" if name == "stage" else "right")
    stages: tuple[Stage, ...] = get_args(Stage)
    for stage in stages:
        part = estimate.of(stage)
        if part.count:
            table.add_row(stage, f"{part.count:,}", significant(part.device_hours, 2))
    return table


def _lengths(run_s: Mapping[str, float]) -> str:
    """The shortest and the longest run."""
    shortest, longest = (choose(run_s, key=lambda name: run_s[name]) for choose in (min, max))
    if duration(run_s[shortest]) == duration(run_s[longest]):
        return f"a run takes {duration(run_s[shortest])}"
    return (
        f"a run takes {duration(run_s[shortest])} ({shortest}) to {duration(run_s[longest])} "
        f"({longest})"
    )


def unmeasured(costing: Costing) -> Iterator[str]:
    """A line for each kind of run that could not be rehearsed."""
    for name, error in costing.errors().items():
        yield f"{name} could not be rehearsed, and counts as the slowest ({error})"


def _assumptions(plan: Plan, estimate: Estimate, costing: Costing) -> Iterator[str]:
    yield "no run diverges, fails, or is pruned or stopped"
    if estimate.machine.workers > 1:
        at_once = min(estimate.machine.workers, costing.kinds)
        if at_once:  # runs of minutes are not rehearsed
            yield (
                f"workers, who share memory bandwidth, slow each other down as {at_once} "
                "rehearsing at once did"
            )
    if estimate.machine.devices_per_worker > 1:
        yield "devices of one run lose no time in talking to each other"
    if more := most_extension_runs(plan):
        yield f"no search is extended; up to {more:,} runs come on top (protocol.search.extend)"
    if not plan.is_settled:
        yield "no search chooses the shared values; where one does, their runs serve for both"
    paces = costing.paces
    if paces.remembered:
        yield (
            f"{len(paces.remembered)} paces are still as they were when measured earlier "
            f"(delete {paces.folder} to measure again)"
        )
