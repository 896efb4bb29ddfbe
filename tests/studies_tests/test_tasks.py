"""Entries of tasks: those that come with the package, and what a form asks for."""

from typing import get_args

import pytest
from pydantic import ValidationError

from studies.loading import read_yaml
from studies.tasks import TASKS, TEXTS_OF_FORM, Form, Task, task_label, task_path

GOOD = {
    "form": "classification",
    "source": "data",
    "train": "train.tsv",
    "evaluation": "test.tsv",
    "texts": ["text"],
    "label": "label",
    "labels": [0, 1],
    "metric": "accuracy",
}


@pytest.mark.parametrize("name", TASKS)
def test_a_known_task_needs_no_more_than_its_source(name):
    task = Task(source="data", **read_yaml(task_path(name)))
    assert task.metric
    assert task_label(name) == TASKS[name].label != name


def test_every_form_is_among_the_known_tasks():
    entries = [read_yaml(task_path(name)) for name in TASKS]
    assert {entry["form"] for entry in entries} == set(get_args(Form))
    assert set(TEXTS_OF_FORM) | {"multiple_choice"} == set(get_args(Form))
    assert any("labels" not in entry for entry in entries)  # a regression


def test_every_file_is_of_a_known_task():
    files = {path.stem for path in task_path("sst2").parent.glob("*.yaml")}
    assert files == set(TASKS)


def test_labels_and_columns_may_be_written_as_numbers():
    task = Task(**{**GOOD, "texts": [1], "label": 2})
    assert (task.texts, task.label, task.labels) == (("1",), "2", ("0", "1"))


@pytest.mark.parametrize(
    ("changes", "outputs"),
    [
        ({}, 2),
        ({"labels": ["a", "b", "c"]}, 3),
        ({"labels": None, "metric": "pearson"}, 1),
        (
            {
                "form": "multiple_choice",
                "choices": ["a", "b", "c"],
                "labels": ["x", "y", "z"],
            },
            1,
        ),
    ],
)
def test_outputs_of_the_head(changes, outputs):
    assert Task(**{**GOOD, **changes}).outputs == outputs


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"texts": ["a", "b"]}, r"classification: texts of 1 column"),
        ({"form": "entailment"}, r"entailment: texts of 2 column"),
        ({"choices": ["a", "b"]}, "no choices"),
        ({"form": "multiple_choice"}, "two or more choices"),
        (
            {"form": "multiple_choice", "choices": ["a", "b"], "labels": [1, 2, 3]},
            "a label for each",
        ),
        ({"labels": ["a"]}, "two labels or more"),
        ({"labels": None}, "pearson or spearman where labels is null"),
        ({"metric": "pearson"}, "accuracy, f1 or matthews where it names them"),
        ({"labels": [1, 2, 3], "metric": "f1"}, "f1 of two labels"),
        ({"labels": [1, 1]}, "each one once"),
        ({"form": "translation"}, "classification"),
        ({"lables": [0, 1]}, "Extra inputs"),
    ],
)
def test_what_does_not_fit_is_told(changes, told):
    with pytest.raises(ValidationError, match=told):
        Task(**{**GOOD, **changes})
