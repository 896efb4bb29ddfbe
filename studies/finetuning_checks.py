"""Checking what a study says about fine-tuning against the rest of it."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from studies.configuration import FINETUNING_PREFIX
from studies.designs import combinations, factor_names
from studies.errors import ABSENT, close_matches
from studies.findings import Findings
from studies.finetuning_plan import TASK_KEY
from studies.schema import Study


def check_finetuning(study: Study, findings: Findings) -> None:
    """Tasks that there are, a model that can be fine-tuned, and factors where they mean something.

    `study` has its levels checked already.
    """
    factors = [key for key in factor_names(study) if key.startswith(FINETUNING_PREFIX)]
    tasks = study.finetuning.tasks
    if not tasks:
        for key in factors:
            allowed = "a factor of a study that fine-tunes"
            findings.add(f"factors.{key}", ABSENT, allowed, "name tasks in finetuning.tasks")
        return
    for where, task in _named_tasks(study):
        if task not in tasks:
            hint = close_matches(str(task), tasks) or "name one of finetuning.tasks"
            findings.add(where, task, f"one of finetuning.tasks: {', '.join(tasks)}", hint)
    if study.module is not None:
        allowed = "the built-in GPT, where finetuning.tasks names tasks"
        findings.add("module", ABSENT, allowed, "remove module, or finetuning")
    if study.execution.devices != 1:
        allowed = "1 where finetuning.tasks names tasks: a run fine-tunes on one device"
        findings.add("execution.devices", study.execution.devices, allowed, "set it to 1")
    for where, key in _compared_keys(study):
        allowed = "factors that cells differ in: the loss is measured before fine-tuning"
        findings.add(f"{where}.{key}", ABSENT, allowed, "remove it")


def _named_tasks(study: Study) -> Iterator[tuple[str, object]]:
    """Where a task is named, and which."""
    if TASK_KEY in factor_names(study):
        for combination in combinations(study):
            if combination[TASK_KEY] is not None:
                yield f"factors.{TASK_KEY}", combination[TASK_KEY]
    if study.finetuning.task is not None:
        yield TASK_KEY, study.finetuning.task


def _compared_keys(study: Study) -> Iterator[tuple[str, str]]:
    """Keys of fine-tuning by which a hypothesis or the baseline names cells."""
    named: dict[str, Collection[str]] = {"report.baseline": study.report.baseline or {}}
    for name, hypothesis in study.hypotheses.items():
        named[f"hypotheses.{name}.of"] = hypothesis.of
        named[f"hypotheses.{name}.against"] = hypothesis.against
    for where, levels in named.items():
        yield from ((where, key) for key in levels if key.startswith(FINETUNING_PREFIX))
