"""Small tasks on disk, of every form: shared by the tests of fine-tuning."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from studies.finetuning import Finetuning
from studies.tasks import Task

WORDS = ["the", "model", "norm", "loss", "seed", "step", "and", "of"]


def write_rows(path: Path, rows: list[list[str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")


def words(generator: random.Random, count: int) -> str:
    return " ".join(generator.choice(WORDS) for _ in range(count))


def easy_task(folder: Path, *, train: int = 64, **changes: Any) -> Task:
    """Whether a text begins with `the`, of words that the corpus of a tiny run has."""
    generator = random.Random(0)
    for name, count in (("train", train), ("test", 32)):
        labels = [number % 2 for number in range(count)]
        rows = [[("the " if y else "of ") + words(generator, 3), str(y)] for y in labels]
        write_rows(folder / f"{name}.tsv", rows)
    given = {
        "form": "classification",
        "source": str(folder),
        "train": "train.tsv",
        "evaluation": "test.tsv",
        "header": False,
        "texts": ["1"],
        "label": "2",
        "labels": ["0", "1"],
        "metric": "accuracy",
    }
    return Task(**{**given, **changes})


def pair_task(folder: Path, form: str, **changes: Any) -> Task:
    """Two texts and a number from 1 to 3 that says how much they share."""
    generator = random.Random(1)
    header = ["id", "first", "second", "degree", "kind"]
    for name in ("train", "test"):
        rows = [header]
        for number in range(24):
            degree = 1 + number % 3
            one = words(generator, 3)
            other = one if degree == 3 else words(generator, 2)
            rows.append([str(number), one, other, str(degree), "same" if degree == 3 else "other"])
        write_rows(folder / f"{name}.tsv", rows)
    given: dict[str, Any] = {
        "form": form,
        "source": str(folder),
        "train": "train.tsv",
        "evaluation": "test.tsv",
        "texts": ["first", "second"],
        "label": "kind",
        "labels": ["other", "same"],
        "metric": "f1",
    }
    return Task(**{**given, **changes})


def choice_task(folder: Path) -> Task:
    """Which of three answers is the last word of a context."""
    generator = random.Random(2)
    for name in ("train", "test"):
        rows = [["context", "question", "a", "b", "c", "right"]]
        for number in range(18):
            answers = generator.sample(WORDS, 3)
            right = number % 3
            context = f"{words(generator, 3)} {answers[right]}"
            rows.append([context, "the step", *answers, "abc"[right]])
        write_rows(folder / f"{name}.tsv", rows)
    return Task(
        form="multiple_choice",
        source=str(folder),
        train="train.tsv",
        evaluation="test.tsv",
        texts=["context", "question"],
        choices=["a", "b", "c"],
        label="right",
        labels=["a", "b", "c"],
        metric="accuracy",
    )


def every_form(folder: Path) -> dict[str, Task]:
    """A task of each form, and a regression."""
    return {
        "classification": easy_task(folder / "classification"),
        "entailment": pair_task(folder / "entailment", "entailment"),
        "similarity": pair_task(folder / "similarity", "similarity"),
        "regression": pair_task(
            folder / "regression", "similarity", label="degree", labels=None, metric="pearson"
        ),
        "multiple_choice": choice_task(folder / "choice"),
    }


def finetuning(task: Task, **changes: Any) -> Finetuning:
    """Short, and fast enough to learn something."""
    given = {"task": "mine", "definition": task, "seed": 0, "epochs": 2, "batch_size": 8}
    return Finetuning(**{**given, "learning_rate": 3e-3, **changes})
