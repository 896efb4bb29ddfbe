"""What a plan does that its author may not have meant, though nothing forbids it."""

from __future__ import annotations

from collections.abc import Iterator

from studies.contrasts import confounded
from studies.diagnostics import DIAGNOSTIC_OF, DIAGNOSTICS, family_and_place
from studies.fairness import mismatched, unequal_budgets
from studies.plan import Plan
from studies.protocol_levels import trials_of_a_cell
from studies.pruners import PRUNERS
from studies.report import ReportConfig
from studies.run_spec import RunSpec
from studies.schema import DiagnosticsConfig

STARTUP, OPTUNAS_STARTUP = "n_startup_trials", 5
"""Runs that a pruner by rank waits for, and how many where nobody says."""

_SHARED = {
    "step": "log_every_steps",
    "probe": "probe_every_steps",
    "rare": "rare_every_steps",
}
"""Cost class to the cadence of its diagnostics."""


def remarks(plan: Plan) -> list[str]:
    """A line for each thing that is worth a second look."""
    specs = [cell.spec(plan.study.seeds[0]) for cell in plan.cells]
    found = [
        *(line for spec in specs for line in _long_cadences(spec)),
        *_absent_maps(plan),
        *_mismatches(plan),
        *_unbalanced_contrasts(plan),
        *_minutes(plan),
        *_idle_pruning(plan),
        *_unequal(plan),
    ]
    return list(dict.fromkeys(found))


def _long_cadences(spec: RunSpec) -> Iterator[str]:
    """Cadences that never come round in a run, whose steps are known."""
    if spec.training.max_minutes is not None:
        return
    steps = spec.training.max_steps
    for key, (every, effect) in _cadences(spec.diagnostics).items():
        if every is not None and every > steps:
            yield f"diagnostics.{key} = {every} is more than training.max_steps = {steps}: {effect}"


def _cadences(config: DiagnosticsConfig) -> dict[str, tuple[int | None, str]]:
    """The cadences that something goes by, and what becomes of it where they are too long."""
    found: dict[str, tuple[int | None, str]] = {
        "log_every_steps": (
            config.log_every_steps,
            "what goes by it is recorded at the first and the last step alone",
        ),
        "evaluate_every_steps": (
            config.evaluate_every_steps,
            "there are evaluations at the start, at the early step and at the end alone",
        ),
    }
    for name in config.enabled:
        own = name in config.every_steps
        key = f"every_steps.{name}" if own else _SHARED[DIAGNOSTICS[name].cost]
        every = config.every_steps[name] if own else getattr(config, key)
        what = "it looks" if own else "what goes by it looks"
        found.setdefault(key, (every, f"{what} at the ends of a run alone"))
    return found


def _mismatches(plan: Plan) -> Iterator[str]:
    """Variants that are not of the size that the protocol matches."""
    protocol, beyond = plan.study.protocol, mismatched(plan)
    if beyond:
        worst = max(beyond, key=lambda variant: abs(beyond[variant].deviation))
        yield (
            f"{len(beyond)} variants are not matched in {protocol.match} within "
            f"{protocol.tolerance:.1%} of {plan.baseline} (marked !; {worst} "
            f"{beyond[worst].deviation:+.1%}): the report says so, too. If size is the question, "
            "set protocol.match: none"
        )


def _minutes(plan: Plan) -> Iterator[str]:
    """What runs of minutes ask of the machine that trains them."""
    budget = plan.study.protocol.budget
    if budget is not None and budget.minutes is not None:
        yield (
            "protocol.budget.minutes: what a run gets done in its time depends on what else the "
            "machine does. Keep it idle, of one kind, and with one worker for each device (on a "
            "machine without a GPU --workers 1). A repeated run gives other numbers"
        )
        if plan.study.module is not None:
            yield (
                "protocol.budget.minutes: the schedule of a module's own learning rate does not "
                "know the time. It may take max_minutes, and measure; max_steps is only a bound"
            )


def _absent_maps(plan: Plan) -> Iterator[str]:
    """Maps that were asked for, of diagnostics that nobody enabled."""
    maps = plan.study.report.layer_maps
    for entry in maps if maps != ReportConfig().layer_maps else ():
        diagnostic = DIAGNOSTIC_OF[family_and_place(entry)[0]]
        if diagnostic not in plan.study.diagnostics.enabled:
            yield (
                f"report.layer_maps names {entry}, which only the diagnostic {diagnostic} records: "
                "add it to diagnostics.enabled, or there will be no such map"
            )


def _unbalanced_contrasts(plan: Plan) -> Iterator[str]:
    """Hypotheses whose sets differ in a factor that they do not both name: its effect counts."""
    for name in plan.contrasts:
        for key in confounded(plan, name):
            yield (
                f"hypothesis {name} compares cells that differ in {key} as well, which its "
                "two sets do not both name: its effect counts; name its levels to hold it still"
            )


def _unequal(plan: Plan) -> Iterator[str]:
    """Budgets that differ without a word, which a run refuses."""
    if plan.study.protocol.unequal_budgets is None and (difference := unequal_budgets(plan)):
        yield (
            f"budgets differ: {difference}; `ablate run` refuses that, unless "
            "protocol.unequal_budgets says why"
        )


def _idle_pruning(plan: Plan) -> Iterator[str]:
    """Pruners that wait for more runs of a seed than there are to compare."""
    pruning = plan.study.protocol.pruning
    if pruning is None or STARTUP not in PRUNERS[pruning.pruner].options:
        return
    name = "runs of a seed" if pruning.stage == "report" else "settings of a variant"
    first = pruning.options.get(STARTUP, OPTUNAS_STARTUP)
    compared = len(plan.cells) * len(plan.columns)
    if pruning.stage == "search":
        compared = trials_of_a_cell(plan.study)
    if isinstance(first, int) and first >= compared:
        yield (
            f"protocol.pruning ends nothing: {pruning.pruner} waits until {first} of the {name} "
            f"have ended ({STARTUP}), and there are {compared}: set protocol.pruning.options."
            f"{STARTUP} lower"
        )
