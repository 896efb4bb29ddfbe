"""Scores against their formulas, on predictions of every kind."""

import numpy as np
import pytest
import torch
from scipy import stats

from lightning_modules.finetuning.scores import constant_score, score, scores_of
from studies.task_metrics import SCORE_METRICS, SCORE_PREFIX
from tests.lightning_modules_tests.task_files import choice_task, easy_task, pair_task

LABELS = torch.tensor([0, 0, 1, 1, 1, 0, 1, 0])
PREDICTED = torch.tensor([0, 1, 1, 1, 0, 0, 1, 1])


def test_scores_of_labels():
    hits = (LABELS == PREDICTED).float().mean().item()
    f1 = 2 * 3 / (2 * 3 + 2 + 1)  # 3 true and 2 false positives, 1 missed
    assert score("accuracy", PREDICTED, LABELS, 2) == pytest.approx(hits)
    assert score("f1", PREDICTED, LABELS, 2) == pytest.approx(f1)
    expected = np.corrcoef(PREDICTED.numpy(), LABELS.numpy())[0, 1]
    assert score("matthews", PREDICTED, LABELS, 2) == pytest.approx(expected, abs=1e-6)


def test_scores_of_numbers():
    generator = torch.Generator().manual_seed(0)
    true = torch.randn(50, generator=generator)
    predicted = true + torch.randn(50, generator=generator)
    assert score("pearson", predicted, true, 0) == pytest.approx(
        stats.pearsonr(predicted, true).statistic, abs=1e-6
    )
    assert score("spearman", predicted, true, 0) == pytest.approx(
        stats.spearmanr(predicted, true).statistic, abs=1e-6
    )


@pytest.mark.parametrize("name", ["matthews", "pearson", "spearman"])
def test_a_constant_prediction_correlates_with_nothing(name):
    labels = LABELS if name == "matthews" else LABELS.float()
    assert score(name, torch.zeros_like(labels), labels, 2) == 0.0


def test_who_always_says_the_most_frequent_label(tmp_path):
    task = easy_task(tmp_path / "a")
    trained = torch.tensor([1.0, 1.0, 0.0])
    assert constant_score(task, trained, LABELS) == pytest.approx(0.5)
    f1 = task.model_copy(update={"metric": "f1"})
    assert constant_score(f1, trained, LABELS) == pytest.approx(2 / 3)
    assert constant_score(f1, torch.tensor([0.0]), LABELS) == 0.0
    numbers = pair_task(tmp_path / "b", "similarity", label="degree", labels=None, metric="pearson")
    assert constant_score(numbers, trained, LABELS.float()) == 0.0


def test_each_task_has_the_scores_of_its_labels_its_own_first(tmp_path):
    pair = pair_task(tmp_path / "a", "similarity")
    numbers = pair_task(
        tmp_path / "b", "similarity", label="degree", labels=None, metric="spearman"
    )
    assert scores_of(pair) == ("f1", "accuracy", "matthews")
    assert scores_of(numbers) == ("spearman", "pearson")
    assert scores_of(choice_task(tmp_path / "c")) == ("accuracy", "matthews")
    names = {n for t in (pair, numbers) for n in scores_of(t)}
    assert {SCORE_PREFIX + name for name in names} == set(SCORE_METRICS)
