"""Examples of a task: its rows as texts and a label that a model is trained on."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

from lightning_modules.data.corpus import DataError
from lightning_modules.finetuning.rows import Row, malformed, read_rows, value_of
from studies.errors import close_matches
from studies.tasks import Task


class Example(NamedTuple):
    """What is read, and what is to be said of it."""

    texts: tuple[str, ...]
    """One or two texts, or those that make up the context of a multiple choice."""
    choices: tuple[str, ...]
    label: float
    """Number of the label, or the number to be predicted."""


def read_examples(task: Task, part: Literal["train", "evaluation"]) -> list[Example]:
    """The examples of one part of a task.

    Raises:
        DataError: the files cannot be read, are empty, or hold a row that is not as the task says.
    """
    where = task.train if part == "train" else task.evaluation
    examples = [_example(task, row) for row in read_rows(task, where)]
    if len(examples) < 2:
        raise DataError(
            "finetuning.tasks",
            f"{task.source}, {where}",
            allowed=f"two examples or more; there are {len(examples)}",
            remedy=f"correct the task's {part}",
        )
    return examples


def _example(task: Task, row: Row) -> Example:
    texts = tuple(value_of(row, column) for column in task.texts)
    choices = tuple(value_of(row, column) for column in task.choices)
    return Example(texts, choices, _label(task, row))


def _label(task: Task, row: Row) -> float:
    value = value_of(row, task.label)
    if task.labels is None:
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise malformed(row.place, f"{task.label} is {value!r}", "a number as the label")
        return number
    if value not in task.labels:
        hint = close_matches(value, task.labels)
        found = f"{task.label} is {value!r} {hint}".strip()
        raise malformed(row.place, found, f"a label of {', '.join(task.labels)}")
    return float(task.labels.index(value))
