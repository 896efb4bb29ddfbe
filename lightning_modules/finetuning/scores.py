"""How right predictions are, by `torchmetrics`."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torchmetrics.functional import (
    matthews_corrcoef,
    pearson_corrcoef,
    spearman_corrcoef,
)
from torchmetrics.functional.classification import binary_f1_score, multiclass_accuracy

from studies.tasks import OF_NUMBERS, Score, Task


def scores_of(task: Task) -> tuple[Score, ...]:
    """Every score that a task's labels have, its own first."""
    kinds: tuple[Score, ...] = ("accuracy", "matthews")
    if task.labels is None:
        kinds = OF_NUMBERS
    elif len(task.labels) == 2 and task.form != "multiple_choice":
        kinds = ("accuracy", "f1", "matthews")
    return tuple(dict.fromkeys((task.metric, *kinds)))


def score(name: Score, predicted_E: Tensor, labels_E: Tensor, classes: int) -> float:
    """One score; that of a constant prediction is 0 where the formula has no value.

    Args:
        name: which.
        predicted_E: number of the label, or the number, that is predicted.
        labels_E: the true ones.
        classes: how many labels there are; any number for numbers.
    """
    if name in OF_NUMBERS:
        if predicted_E.std() == 0 or labels_E.std() == 0:
            return 0.0  # a correlation needs variance
        correlation = pearson_corrcoef if name == "pearson" else spearman_corrcoef
        return float(correlation(predicted_E.double(), labels_E.double()))
    if name == "accuracy":
        value = multiclass_accuracy(predicted_E, labels_E, num_classes=classes, average="micro")
    elif name == "f1":
        value = binary_f1_score(predicted_E, labels_E)
    else:
        value = matthews_corrcoef(predicted_E, labels_E, task="multiclass", num_classes=classes)
    return float(value) if math.isfinite(float(value)) else 0.0


def constant_score(task: Task, train_E: Tensor, labels_E: Tensor) -> float:
    """The score of who always says the most frequent label of the training examples."""
    if task.labels is None:
        return 0.0
    most_frequent = int(torch.mode(train_E.long()).values)
    return score(task.metric, torch.full_like(labels_E, most_frequent), labels_E, len(task.labels))
