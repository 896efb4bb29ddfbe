"""One run in words: what it is, where its numbers come from, how it ended or where it stands."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from ablations.numerals import clock, significant
from ablations.run_view import Attempt, RunView
from studies.budgets import length_text
from studies.configuration import leaf_name
from studies.metrics import DIVERGED_AT_STEP, LAST_TRAIN_LOSS, LAST_VALIDATION_LOSS, PRUNED_AT_STEP
from studies.plan import Plan, PlannedRun
from studies.vocabulary import label_of

STATES = {
    "completed": "green",
    "diverged": "yellow",
    "pruned": "yellow",
    "failed": "red",
    "running": "cyan",
}
"""State to colour."""


def heading(view: RunView) -> Iterator[Text]:
    """Name, levels and provenance."""
    found, record = view.found, view.record
    key = found.directory.run_key
    if found.planned is None and record is not None:
        name = f"{record.study}/{record.variant}/{record.seed}"
    else:
        name = found.name
    yield Text.assemble((name, "bold"), (f"   run {key}", "dim"))
    levels = record.levels if record else {}
    if found.plan and found.planned:
        levels = found.plan.cell(found.planned.variant).levels
    seed = found.planned.seed if found.planned else view.configuration.get("seed", "–")
    words = [f"{leaf_name(key)} {label_of(key, level)}" for key, level in levels.items()]
    if found.plan and found.planned and found.plan.nuisance:
        words += _searched(found.plan, found.planned)
    yield Text(" · ".join([*words, f"seed {seed}"]))
    if record:
        yield Text(_provenance(view), style="dim")


def _searched(plan: Plan, run: PlannedRun) -> Iterator[str]:
    """Values of the searched keys, and what the run is for."""
    for key, value in plan.settings(run.variant, run.settings).items():
        yield f"{leaf_name(key)} {value}"
    yield "search" if run.stage == "search" else " and ".join(plan.columns_of(run)) or "superseded"


def _provenance(view: RunView) -> str:
    """Code, versions, device and data in a line."""
    assert view.record is not None
    facts, origin = view.record.facts, view.record.provenance
    git, packages = origin.get("git") or {}, origin.get("packages") or {}
    commit = (git.get("commit") or "no commit")[:10] + (" (changed)" if git.get("dirty") else "")
    words = [commit, f"Python {origin.get('python', '–')}", f"torch {packages.get('torch', '–')}"]
    words += [str(facts[name]) for name in ("device", "precision") if name in facts]
    words += [f"host {origin.get('host', '–')}"]
    words += [f"{name} {facts[name]}" for name in ("corpus", "tokenizer") if name in facts]
    return " · ".join(words)


def standing(view: RunView) -> Iterator[Text]:
    """How the run ended, or where it stands, with its errors."""
    record, state = view.record, view.state
    if state == "unqueued":
        state = "stopped before its end" if view.attempts else "not started"
    words = [*_end(view)] if record else [*_position(view)]
    yield Text.assemble((state, f"bold {STATES.get(state, '')}"), *(f" · {w}" for w in words))
    if view.error:
        yield Text(f"  {view.error}", style="red")
    if len(view.attempts) > 1 or view.state in ("failed", "unqueued"):
        yield from map(_attempt, view.attempts)
    if view.state == "unqueued":
        yield Text(f"  `ablate run` {'goes on with' if view.attempts else 'trains'} it")
    elif view.state == "failed":
        yield Text("  `ablate run --retry-failed` tries it again")


def _end(view: RunView) -> Iterator[str]:
    record = view.record
    assert record is not None
    at, loss = (record.summary.get(name) for name in (DIVERGED_AT_STEP, LAST_TRAIN_LOSS))
    pruned_at, last = (record.summary.get(name) for name in (PRUNED_AT_STEP, LAST_VALIDATION_LOSS))
    at = pruned_at if at is None else at
    if at is not None:
        yield f"at step {at:,.0f}"
    elif view.state == "pruned":
        yield "before its first step"
    if view.state == "diverged" and loss is not None:
        yield f"last finite training loss {significant(loss, 4)}"
    if last is not None:
        yield f"last validation loss {significant(last, 4)}"
    if record.leak:
        yield record.leak.value.replace("_", " ")
    if record.wall_time_s:
        yield f"{clock(record.wall_time_s)} wall time"


def _position(view: RunView) -> Iterator[str]:
    steps = [a.last_step for a in view.attempts if a.last_step is not None]
    last = view.attempts[-1] if view.attempts else None
    training = view.configuration.get("training", {})
    goal, minutes = training.get("max_steps"), training.get("max_minutes")
    if steps and minutes:
        yield f"step {steps[-1]:,} in a run of {length_text([view.configuration])}"
    elif steps:
        yield f"step {steps[-1]:,}" + (f" of {goal:,}" if goal else "")
    if last and last.silent_s is not None:
        yield f"last value {clock(last.silent_s)} ago"


def _attempt(attempt: Attempt) -> Text:
    step = "no values" if attempt.last_step is None else f"to step {attempt.last_step:,}"
    line = Text(f"  attempt {attempt.number}: {step}")
    if attempt.error:
        line.append(f", {attempt.error.splitlines()[0][:120]}")
    if attempt.error_path:
        line.append(f"\n    traceback: {attempt.error_path}")
    return line
