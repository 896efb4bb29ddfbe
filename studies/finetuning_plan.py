"""Which runs fine-tune which models: the second stage of a plan."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from studies.configuration import FINETUNING_PREFIX, with_values
from studies.designs import Combination, factor_names
from studies.finetuning import FinetuningSettings
from studies.plan import FinetuningArm, Plan, PlannedRun
from studies.schema import Study
from studies.values import Scalar

ArmName = Callable[[Mapping[str, Scalar]], str]
"""How levels of fine-tuning factors are written; empty without any."""

TASK_KEY = FINETUNING_PREFIX + "task"


def finetuning_arms(
    study: Study, placed: Iterable[tuple[Combination, str]], name: ArmName
) -> tuple[FinetuningArm, ...]:
    """The ways in which the models of each variant are fine-tuned, each on each task.

    Args:
        study: with its tasks.
        placed: combinations of the design, with the variant that stands for each.
        name: how levels of fine-tuning factors are written.
    """
    keys = [
        key for key in factor_names(study) if key.startswith(FINETUNING_PREFIX) and key != TASK_KEY
    ]
    found: dict[tuple[str, str, str], FinetuningArm] = {}
    for combination, variant in placed:
        settings = FinetuningSettings(**with_values(study.base(), combination)["finetuning"])
        levels = {key: combination[key] for key in keys}
        arm = name(levels)
        for task in [settings.task] if settings.task else study.finetuning.tasks:
            told = settings.model_copy(update={"task": task})
            found.setdefault(
                (variant, task, arm),
                FinetuningArm(variant=variant, task=task, arm=arm, levels=levels, settings=told),
            )
    return tuple(found.values())


def with_finetuning(plan: Plan) -> Plan:
    """The plan with the runs that fine-tune what is compared first, seed by seed."""
    if not plan.arms:
        return plan
    arms: dict[str, list[FinetuningArm]] = {}
    for arm in plan.arms:
        arms.setdefault(arm.variant, []).append(arm)
    known = {run.place_in_plan: run for run in plan.finetuning_runs}
    compared = [run for run in plan.runs if plan.columns[0] in plan.columns_of(run)]
    runs = [
        known.get(child.place_in_plan) or _with_key(plan, child)
        for parent in compared
        for arm in arms.get(parent.variant, ())
        for child in _children(parent, arm, plan.study.finetuning.seeds)
    ]
    return plan.model_copy(update={"finetuning_runs": tuple(runs)})


def finetunings(plan: Plan) -> int:
    """How many runs fine-tune, once everything that is compared is planned."""
    return len(plan.arms) * len(plan.study.seeds) * finetunings_of_a_seed(plan.study)


def finetunings_of_a_seed(study: Study) -> int:
    """How often each pre-trained model is fine-tuned on a task."""
    seeds = study.finetuning.seeds
    return 1 if seeds is None else len(seeds)


def _children(
    parent: PlannedRun, arm: FinetuningArm, seeds: Sequence[int] | None
) -> Iterable[PlannedRun]:
    for seed in (parent.seed,) if seeds is None else seeds:
        yield PlannedRun(
            run_key="",
            variant=parent.variant,
            seed=parent.seed,
            settings=parent.settings,
            stage="finetuning",
            task=arm.task,
            arm=arm.arm,
            finetuning_seed=seed,
            parent=parent.run_key if arm.settings.pretrained else None,
        )


def _with_key(plan: Plan, run: PlannedRun) -> PlannedRun:
    return run.model_copy(update={"run_key": plan.spec(run).run_key})
