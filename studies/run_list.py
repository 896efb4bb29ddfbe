"""The runs that a plan asks for, in the order in which they are started."""

from __future__ import annotations

from collections.abc import Mapping

from studies.finetuning_plan import with_finetuning
from studies.plan import NO_SETTINGS, Plan, PlannedRun, Stage
from studies.protocol import Fixed
from studies.pruners import PRUNERS
from studies.values import Scalar


def with_runs(plan: Plan) -> Plan:
    """The plan with the list of its runs: of the search, of its choices, of the shared values."""
    search = plan.study.protocol.search
    cells = {cell.variant: cell for cell in plan.cells}
    known = {(r.variant, r.seed, str(r.settings)): r.run_key for r in plan.runs}
    planned: dict[str, PlannedRun] = {}

    def add(variant: str, seed: int, settings: Mapping[str, Scalar], stage: Stage) -> None:
        settings = dict(settings)
        key = known.get((variant, seed, str(settings)))
        key = key or cells[variant].spec(seed, settings).run_key
        if key not in planned:
            planned[key] = PlannedRun(
                run_key=key, variant=variant, seed=seed, settings=settings, stage=stage
            )

    if not isinstance(search, Fixed):
        for trial in plan.trials:
            for seed in search.seeds:
                add(trial.variant, seed, trial.settings, "search")
    for seed, variant in _compared(plan):
        if variant in plan.choices:
            chosen = plan.choices[variant].settings
            is_shared = chosen == plan.settings(variant, NO_SETTINGS)
            add(variant, seed, NO_SETTINGS if is_shared else chosen, "report")
    for seed, variant in _compared(plan):
        add(variant, seed, NO_SETTINGS, "report")
    return with_finetuning(plan.model_copy(update={"runs": tuple(planned.values())}))


def _compared(plan: Plan) -> list[tuple[int, str]]:
    """Seeds and variants of the report, seed by seed.

    Where waiting seeds of worse variants are given up, those of the baseline come first: only what
    has ended on all seeds is something to be worse than.
    """
    pairs = [(seed, cell.variant) for seed in plan.study.seeds for cell in plan.cells]
    pruning = plan.study.protocol.pruning
    if pruning is not None and pruning.stage == "report" and PRUNERS[pruning.pruner].of_seeds:
        pairs.sort(key=lambda pair: pair[1] != plan.baseline)
    return pairs
