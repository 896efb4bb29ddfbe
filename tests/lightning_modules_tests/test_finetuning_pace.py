"""Rehearsals of fine-tuning: by a clock that only work moves, their pace is what the run takes."""

import time

import pytest
import torch

from lightning_modules.checkpoints import list_checkpoints
from lightning_modules.finetuning.fine_tuner import FineTuner
from lightning_modules.finetuning.pace import measure_finetuning_pace
from lightning_modules.finetuning.training import finetune_run
from studies.errors import AblationError
from studies.execution import ExecutionConfig
from tests.lightning_modules_tests.task_files import easy_task, every_form, finetuning
from tests.lightning_modules_tests.ticking_model import Watch
from tests.lightning_modules_tests.tiny_runs import RowsSink, tiny_spec, write_text


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_text(tmp_path_factory.mktemp("corpus") / "text.txt")


@pytest.fixture
def watch(monkeypatch):
    """An example takes a quarter of a second to train on, and a sixteenth to be scored."""
    watch = Watch()
    train, score = FineTuner.training_step, FineTuner.validation_step

    def slow_train(self, batch, batch_idx):
        watch.now_s += len(batch.labels_E) / 4
        return train(self, batch, batch_idx)

    def slow_score(self, batch, batch_idx):
        watch.now_s += len(batch.labels_E) / 16
        return score(self, batch, batch_idx)

    monkeypatch.setattr(FineTuner, "training_step", slow_train)
    monkeypatch.setattr(FineTuner, "validation_step", slow_score)
    monkeypatch.setattr(time, "perf_counter", watch)
    return watch


def spec_of(corpus, told):
    return tiny_spec(corpus, model={"context_length": 32}).model_copy(update={"finetuning": told})


def pace_of(spec, folder, **execution):
    return measure_finetuning_pace(
        spec,
        execution=ExecutionConfig(accelerator="cpu", **execution),
        cache=folder / "cache",
        directory=folder,
    )


@pytest.mark.parametrize("changes", [{}, {"batch_size": 2}, {"epochs": 1}, {"auxiliary_weight": 0}])
def test_the_pace_of_a_fine_tuning_is_what_it_takes(corpus, tmp_path, watch, changes):
    told = finetuning(easy_task(tmp_path / "task"), **changes)
    spec = spec_of(corpus, told)
    pace = pace_of(spec, tmp_path / "rehearsal")
    before_s = watch.now_s
    finetune_run(
        spec,
        pretrained=None,
        execution=ExecutionConfig(accelerator="cpu"),
        cache=tmp_path / "cache",
        directory=tmp_path / "run",
        resume_from=None,
        sink=RowsSink(),
        should_stop=lambda: False,
    )
    assert pace.run_s == pytest.approx(watch.now_s - before_s)
    assert pace.part_s("step") == told.epochs * 64 / 4
    assert pace.part_s("evaluation") == (1 + told.epochs) * 32 / 16
    assert pace.device == "cpu"


@pytest.mark.parametrize("form", ["entailment", "similarity", "regression", "multiple_choice"])
def test_each_form_is_rehearsed_however_few_its_examples_are(corpus, tmp_path, form):
    spec = spec_of(corpus, finetuning(every_form(tmp_path)[form], epochs=1))
    assert 0 < pace_of(spec, tmp_path / "rehearsal").run_s < 60


def test_a_checkpoint_is_tried_where_the_run_is_long_enough_for_one(corpus, tmp_path, watch):
    spec = spec_of(corpus, finetuning(easy_task(tmp_path / "task")))
    names = [part.name for part in pace_of(spec, tmp_path / "a").parts]
    assert names == ["start", "step", "evaluation"]
    assert not list(list_checkpoints(tmp_path / "a"))
    saved = pace_of(spec, tmp_path / "b", checkpoint_every_s=10).parts[3]
    assert (saved.name, saved.times) == ("checkpoint", 3)  # of 32 seconds of training
    assert list(list_checkpoints(tmp_path / "b"))


def test_what_cannot_be_trained_says_so(corpus, tmp_path, monkeypatch):
    spec = spec_of(corpus, finetuning(easy_task(tmp_path / "task")))
    monkeypatch.setattr(FineTuner, "task_loss", lambda *_: torch.tensor(torch.nan))
    with pytest.raises(AblationError, match="not finite after 1 steps that hardly moved a weight"):
        pace_of(spec, tmp_path / "rehearsal")
