"""The sentences on methods that tell how models were fine-tuned."""

from __future__ import annotations

from reports.references import cited, formula, mark
from reports.results.frame import StudyResults
from reports.words import any_of, factor_label, plain_value, plural
from studies.configuration import FINETUNING_PREFIX, leaf_name
from studies.methods import TRAINING
from studies.plan import Plan
from studies.presets import PRESETS
from studies.tasks import TASKS, task_label

VARIED = "a varied"
LAMBDA = formula("λ", r"$\lambda$")


def finetuning_sentences(results: StudyResults) -> tuple[str, ...]:
    """What was fine-tuned on, with which inputs, and how; nothing of a study that does not."""
    plan = results.plan
    if not plan.arms:
        return ()
    tasks = dict.fromkeys(arm.task for arm in plan.arms)
    named = any_of([_task(plan, task) for task in tasks], "and")
    source = mark(PRESETS["gpt1"].cite)
    seeds = plan.study.finetuning.seeds
    each = "" if seeds is None or len(seeds) == 1 else f", {len(seeds)} times with different seeds"
    first = (
        f"Each compared model is then fine-tuned on {named}{each}: a linear head reads the last "
        f"token of inputs framed as for GPT-1{source}, and the score is taken after the last step, "
        "on examples that nothing was selected by."
    )
    return first, _how(plan)


def _task(plan: Plan, task: str) -> str:
    definition = plan.tasks[task]
    form = definition.form.replace("_", " ")
    name = cited(TASKS[task], task_label(task)) if task in TASKS else task
    kind = "regression" if definition.labels is None else form
    return f"{name} ({kind}, {definition.metric})"


def _how(plan: Plan) -> str:
    factors = {leaf_name(key): key for arm in plan.arms for key in arm.levels}

    def value(name: str) -> str:
        found = {plain_value(getattr(arm.settings, name)) for arm in plan.arms}
        return found.pop() if len(found) == 1 else VARIED

    weight = value("auxiliary_weight")
    auxiliary = (
        "no auxiliary loss"
        if weight == "0"
        else f"{weight} times the language-model loss on the task's texts "
        f"({LAMBDA}) added to that of the task"
    )
    epochs = value("epochs")
    length = f"{epochs} epochs" if epochs == VARIED else plural(int(epochs), "epoch")
    varied = [f"{factor_label(key)} ({_levels(plan, key)})" for key in factors.values()]
    told = (
        f"Fine-tuning takes {length} in batches of {value('batch_size')} with "
        f"{cited(TRAINING['adamw'])} at learning rate {value('learning_rate')}, which rises over "
        f"{value('warmup_fraction')} of the steps and falls linearly to 0, classifier dropout "
        f"{value('classifier_dropout')}, and {auxiliary}"
    )
    return f"{told}; varied: {any_of(varied, 'and')}." if varied else f"{told}."


def _levels(plan: Plan, key: str) -> str:
    assert key.startswith(FINETUNING_PREFIX)
    return ", ".join(dict.fromkeys(plain_value(arm.levels[key]) for arm in plan.arms))
