"""What the terminal shows: plans, checks, progress, lists."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ablations.numerals import clock, significant
from ablations.progress import Progress, RemainingTime
from studies.budgets import length_text
from studies.compute import GPU, PEAK_FLOPS_PER_S, UTILISATION, gpu_hours, training_flops
from studies.configuration import leaf_name
from studies.fairness import Size, size_of
from studies.finetuning_plan import finetunings
from studies.plan import Plan
from studies.protocol import Fixed, Range, Sweep
from studies.protocol_levels import runs_of_a_cell
from studies.records import Leak
from studies.remarks import remarks
from studies.values import Scalar
from studies.vocabulary import label_of

if TYPE_CHECKING:
    from ablations.preflight import Preflight
    from lightning_modules.checks import VariantCheck

PLAIN_INTERVAL_S = 10.0
"""Seconds between progress lines where the output is not a terminal."""


class ProgressDisplay(Protocol):
    """Something that shows each snapshot of a study's progress."""

    def __call__(self, progress: Progress) -> None:
        """Show a snapshot."""


@contextmanager
def progress_display(console: Console, *, live: bool = True) -> Iterator[ProgressDisplay]:
    """A live display on a terminal, a line now and then anywhere else or if that is asked for."""
    remaining, started = RemainingTime(), time.monotonic()
    if not (live and console.is_terminal):
        yield _PlainProgress(console, remaining, started)
        return
    with Live(console=console, refresh_per_second=4, transient=False) as display:

        def show(progress: Progress) -> None:
            now = time.monotonic()
            left = remaining.estimate_s(progress, now)
            display.update(_progress_panel(progress, now - started, left))

        yield show


class _PlainProgress:
    """Prints a line when something ended, at most every few seconds."""

    def __init__(self, console: Console, remaining: RemainingTime, started: float) -> None:
        self._console, self._remaining, self._started = console, remaining, started
        self._last_at = -PLAIN_INTERVAL_S
        self._last_ended = -1

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        left = self._remaining.estimate_s(progress, now)
        due = now - self._last_at >= PLAIN_INTERVAL_S
        if due or (progress.is_complete and progress.ended != self._last_ended):
            elapsed = clock(now - self._started)
            self._console.print(f"{progress.line()}, {elapsed} elapsed, {clock(left)} left")
            self._last_at, self._last_ended = now, progress.ended


def _progress_panel(progress: Progress, elapsed_s: float, left_s: float | None) -> Group:
    times = f"{clock(elapsed_s)} elapsed, {clock(left_s)} left"
    rows = Table.grid(padding=(0, 2))
    for running in progress.running:
        run = running.run
        rows.add_row(f"  {run.variant}", f"seed {run.seed}", running.place())
    bar = Table.grid()
    bar.add_row(ProgressBar(total=progress.expected, completed=progress.work_done, width=60))
    return Group(
        bar,
        Text(f"{progress.line()} · {times}"),
        rows,
    )


def show_plan(console: Console, plan: Plan) -> None:
    """The plan: cells, merges and exclusions with their rules, and the size of it all."""
    study = plan.study
    console.print(Text(study.name, style="bold"), study.question)
    for key, value in plan.overrides.items():
        console.print(f"  --set {key} = {value}")
    factors = list(plan.cells[0].levels)
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("variant")
    for factor in factors:
        table.add_column(leaf_name(factor))
    budget = study.protocol.budget
    matched, budgeted = study.protocol.match != "none", bool(budget and not budget.minutes)
    for name in ("parameters", "MFLOP/token", *("match",) * matched, *("steps",) * budgeted):
        table.add_column(name, justify="right")
    for cell in plan.cells:
        mark = " (baseline)" if cell.variant == plan.baseline else ""
        flops = cell.flops_per_token
        table.add_row(
            cell.variant + mark,
            *(label_of(key, level) for key, level in cell.levels.items()),
            _count(cell.parameters),
            f"{flops / 1e6:.2f}" if flops is not None else "–",
            *(_deviation(size_of(plan, cell)),) * matched,
            *(f"{cell.configuration['training']['max_steps']:,}",) * budgeted,
        )
    console.print(table)
    for merge in plan.merged:
        console.print(f"merged    {_levels(merge.levels)} → {merge.into}: {'; '.join(merge.rules)}")
    for excluded in plan.excluded:
        console.print(f"excluded  {_levels(excluded.levels)}: {excluded.because}")
    for line in _hypothesis_lines(plan):
        console.print(line)
    console.print(
        f"{plan.combinations} combinations, {len(plan.merged)} merged, {len(plan.excluded)} "
        f"excluded: {size_line(plan)} of "
        f"{length_text(cell.configuration for cell in plan.cells)}",
    )
    for line in (*search_lines(plan), *pruning_lines(plan), *compute_lines(plan)):
        console.print(line)
    for line in finetuning_lines(plan):
        console.print(line, soft_wrap=True)
    show_remarks(console, plan)


def size_line(plan: Plan) -> str:
    """Cells, seeds and runs: `28 cells x 2 seeds = 56 runs`; those of a search are listed apart."""
    cells, seeds = len(plan.cells), len(plan.study.seeds)
    if isinstance(plan.study.protocol.search, Fixed):
        return f"{cells} cells x {seeds} seeds = {len(plan.runs)} runs"
    each = runs_of_a_cell(plan.study)
    return f"{cells} cells x {each} runs (search, {seeds} seeds twice) = {cells * each} runs"


def finetuning_lines(plan: Plan) -> Iterator[str]:
    """How many runs fine-tune, and on what."""
    if not plan.arms:
        return
    tasks = ", ".join(dict.fromkeys(arm.task for arm in plan.arms))
    ways = dict.fromkeys(arm.arm for arm in plan.arms if arm.arm)
    how = f", {' and '.join(ways)}" if ways else ""
    runs = finetunings(plan)
    yield f"then      {runs} runs fine-tune on {tasks}{how}; no FLOPs that are told include them"


def search_lines(plan: Plan) -> Iterator[str]:
    """What is searched, on what, and what follows."""
    search = plan.study.protocol.search
    if isinstance(search, Fixed):
        return
    for key, tried in search.tried.items():
        shown = (
            f"{tried.low:g} to {tried.high:g}, {tried.scale}"
            if isinstance(tried, Range)
            else ", ".join(map(str, tried))
        )
        yield f"search    {key}: {shown}"
    trials = runs_of_a_cell(plan.study) - 2 * len(plan.study.seeds)
    seeds = ", ".join(map(str, plan.study.seeds))
    how = (
        "every value"
        if isinstance(search, Sweep)
        else f"{search.sampler}, {search.at_once} at once"
    )
    yield (
        f"          {trials // len(search.seeds)} trials of each variant ({how}) on the seeds "
        f"{', '.join(map(str, search.seeds))}; then the seeds {seeds} at the chosen and at "
        "the shared values, a run once where they are the same. Extensions come on top"
    )


def pruning_lines(plan: Plan) -> Iterator[str]:
    """What may be ended early, and by what."""
    pruning = plan.study.protocol.pruning
    if pruning is not None:
        which = "runs of the search" if pruning.stage == "search" else "compared runs"
        options = "".join(f", {name} {value}" for name, value in pruning.options.items())
        yield f"pruning   {which}, by {pruning.pruner}{options}"


def compute_lines(plan: Plan) -> Iterator[str]:
    """What training computes, and how long a well-known GPU takes for that."""
    flops = training_flops(plan)
    if flops is not None:
        hours = significant(gpu_hours(flops), 2)
        yield (
            f"compute   {flops:.2g} FLOP in training steps: about {hours} GPU-hours on an {GPU} at "
            f"{UTILISATION:.0%} of its {PEAK_FLOPS_PER_S / 1e12:.0f} TFLOP/s; --cost measures here"
        )


def _deviation(size: Size | None) -> str:
    """The deviation from the baseline in what is matched; a mark where it is beyond tolerance."""
    if size is None:
        return "–"
    return f"{size.deviation:+.2%}{'' if size.within else ' !'}"


def _hypothesis_lines(plan: Plan) -> Iterator[str]:
    for name, contrast in plan.contrasts.items():
        hypothesis, of = plan.study.hypotheses[name], len(contrast.of)
        cells = f"{of} {'cell' if of == 1 else 'cells'} against {len(contrast.against)}"
        yield f"hypothesis {name}: {cells}, {hypothesis.direction}: {hypothesis.claim}"


def show_remarks(console: Console, plan: Plan) -> None:
    """What is worth a second look before anything runs."""
    for remark in remarks(plan):
        console.print(Text.assemble(("note: ", "yellow"), remark))


def show_tasks(console: Console, found: Preflight) -> None:
    """What each task became in the tokens and the context of the models."""
    for line in found.tasks:
        console.print(f"task {line}", soft_wrap=True)


def show_preflight(console: Console, found: Preflight) -> None:
    """What pre-flight measured for each variant, and every problem."""
    for data in found.data:
        facts = ", ".join(f"{key} {value}" for key, value in data.items())
        console.print(f"data: {facts}")
    show_tasks(console, found)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("variant", "leak label", "parameters", "non-embedding", "result"):
        table.add_column(name, justify="right" if name.endswith(("ers", "ing")) else "left")
    for variant, check in found.checks.items():
        table.add_row(
            variant,
            check.leak.value if check.leak else "not measured",
            _count(check.parameters),
            _count(check.parameters_non_embedding),
            "; ".join(check.problems) or _verdict(check),
        )
    console.print(table)
    for line in found.said_once(_diagnostics_notes):
        console.print(line, soft_wrap=not console.is_terminal)


def _verdict(check: VariantCheck) -> str:
    return "ok, but it is never ranked: it sees the future" if check.leak is Leak.LEAKY else "ok"


def _diagnostics_notes(check: VariantCheck) -> Iterator[str]:
    """What diagnostics look into in a module of one's own, and which see nothing there."""
    if check.modules:
        counts = (f"{count} × {role}" for role, count in check.modules.items())
        yield f"diagnostics look into {', '.join(counts)}"
    if check.silent:
        yield f"nothing to see for the diagnostics {', '.join(check.silent)}"


def _count(number: int | None) -> str:
    return "–" if number is None else f"{number:,}"


def _levels(levels: Mapping[str, Scalar]) -> str:
    return ", ".join(f"{leaf_name(key)}={value}" for key, value in levels.items())


def show_status(console: Console, plan: Plan, progress: Progress) -> None:
    """Counts, and the step of each running run."""
    console.print(f"{plan.study.name}: {progress.line()}")
    for running in progress.running:
        run = running.run
        console.print(
            f"  running: {run.variant} seed {run.seed}, {running.place()}",
        )
