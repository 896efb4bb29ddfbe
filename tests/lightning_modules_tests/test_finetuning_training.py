"""Fine-tuning: the model of each form, what it starts from, and that a stop changes nothing."""

import math

import pytest
import torch

from lightning_modules.checkpoints import TOKENIZER
from lightning_modules.data.codec import Codec
from lightning_modules.data.token_store import build_token_store
from lightning_modules.finetuning.batches import collate
from lightning_modules.finetuning.fine_tuner import FineTuner, LabelScale
from lightning_modules.finetuning.task_data import read_task
from lightning_modules.finetuning.task_model import TaskModel, with_more_tokens
from lightning_modules.finetuning.training import finetune_run
from lightning_modules.gpt.model import GPT
from lightning_modules.keepsakes import Keepsakes
from lightning_modules.training import RunInterrupted, train_run
from studies.errors import AblationError
from studies.execution import ExecutionConfig
from studies.metrics import STEPS
from studies.records import Outcome
from studies.schema import ModelConfig, TrainingConfig
from studies.task_metrics import (
    CONSTANT_SCORE,
    EVALUATION_SCORE,
    FINETUNING_LEARNING_RATE,
    FINETUNING_LOSS,
    TASK_METRICS,
    TASK_SCORE,
)
from studies.vocabulary import NORMS
from tests.lightning_modules_tests.task_files import easy_task, every_form, finetuning
from tests.lightning_modules_tests.tiny_runs import RowsSink, tiny_spec, write_text

MODEL = {"context_length": 32}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_text(tmp_path_factory.mktemp("corpus") / "text.txt")


@pytest.fixture(scope="module")
def parent(corpus, tmp_path_factory):
    """A run that kept its weights, and where."""
    spec = tiny_spec(corpus, model=MODEL, training={"max_steps": 100})
    directory = tmp_path_factory.mktemp("parent")
    train_run(
        spec,
        execution=ExecutionConfig(accelerator="cpu"),
        cache=corpus.parent / "cache",
        directory=directory,
        resume_from=None,
        sink=RowsSink(),
        should_stop=lambda: False,
        keepsakes=Keepsakes(weights=True),
    )
    return spec, directory


def tune(parent, told, directory, *, resume_from=None, should_stop=lambda: False, spec=None):
    own, pretrained = parent
    sink = RowsSink()
    result = finetune_run(
        (spec or own).model_copy(update={"finetuning": told}),
        pretrained=pretrained if told.pretrained else None,
        execution=ExecutionConfig(accelerator="cpu"),
        cache=pretrained.parent / "cache",
        directory=directory,
        resume_from=resume_from,
        sink=sink,
        should_stop=should_stop,
    )
    return result, sink.rows


def test_a_task_that_can_be_learnt_is_learnt(parent, tmp_path):
    told = finetuning(easy_task(tmp_path / "task"), epochs=12)
    result, rows = tune(parent, told, tmp_path / "run")
    assert result.outcome is Outcome.COMPLETED
    assert result.summary[CONSTANT_SCORE] == 0.5
    assert result.summary[TASK_SCORE] > 0.9
    assert result.summary[STEPS] == 12 * 8
    evaluated = [step for step, row in rows.items() if EVALUATION_SCORE in row]
    assert evaluated == [8 * epoch for epoch in range(13)]
    assert rows[96][EVALUATION_SCORE] == result.summary[TASK_SCORE]
    assert rows[96][FINETUNING_LOSS] < rows[1][FINETUNING_LOSS]
    assert set(result.summary) <= set(TASK_METRICS)
    assert {name for row in rows.values() for name in row} <= set(TASK_METRICS)


@pytest.mark.parametrize(
    "form", ["classification", "entailment", "similarity", "regression", "multiple_choice"]
)
def test_every_form_is_trained_and_scored(parent, tmp_path, form):
    task = every_form(tmp_path)[form]
    result, _ = tune(parent, finetuning(task), tmp_path / "run")
    assert result.outcome is Outcome.COMPLETED
    assert -1 <= result.summary[TASK_SCORE] <= 1
    assert all(map(math.isfinite, result.summary.values()))


def test_equal_specs_give_equal_numbers_and_seeds_do_not(parent, tmp_path):
    told = finetuning(easy_task(tmp_path / "task"))
    _, rows = tune(parent, told, tmp_path / "a")
    _, again = tune(parent, told, tmp_path / "b")
    assert rows == again
    _, other = tune(parent, told.model_copy(update={"seed": 1}), tmp_path / "c")
    assert other[1] != rows[1]


def test_an_asked_stop_saves_and_the_rest_is_the_same(parent, tmp_path):
    own = parent[0]
    spec = own.model_copy(update={"model": own.model.model_copy(update={"dropout": 0.1})})
    told = finetuning(easy_task(tmp_path / "task"))
    whole, rows = tune(parent, told, tmp_path / "whole", spec=spec)
    answers = iter([False] * 10 + [True])
    with pytest.raises(RunInterrupted) as stopped:
        tune(parent, told, tmp_path / "first", spec=spec, should_stop=lambda: next(answers))
    assert stopped.value.step == 11
    checkpoint = tmp_path / "first" / "step-000000011.ckpt"
    resumed, rest = tune(parent, told, tmp_path / "second", spec=spec, resume_from=checkpoint)
    assert rest == {step: row for step, row in rows.items() if step > 11}
    timed = {name for name in whole.summary if name.endswith(("_s", "_gib"))}
    assert {n: v for n, v in resumed.summary.items() if n not in timed} == {
        n: v for n, v in whole.summary.items() if n not in timed
    }


def test_it_starts_from_the_trained_weights_or_from_the_initial_ones(parent, tmp_path):
    told = finetuning(easy_task(tmp_path / "task"), auxiliary_weight=1.0)
    _, trained = tune(parent, told, tmp_path / "a")
    _, initial = tune(parent, told.model_copy(update={"pretrained": False}), tmp_path / "b")
    assert trained[1][FINETUNING_LOSS] < initial[1][FINETUNING_LOSS]


def test_without_weight_there_is_no_language_model_loss(parent, tmp_path):
    task = easy_task(tmp_path / "task")
    _, with_it = tune(parent, finetuning(task, auxiliary_weight=0.5), tmp_path / "a")
    _, without = tune(parent, finetuning(task, auxiliary_weight=0), tmp_path / "b")
    assert without[1][FINETUNING_LOSS] == pytest.approx(math.log(2), abs=0.1)  # an untrained head
    assert with_it[1][FINETUNING_LOSS] > without[1][FINETUNING_LOSS] + 0.5


def test_the_rate_rises_and_falls_linearly(parent, tmp_path):
    told = finetuning(easy_task(tmp_path / "task"), warmup_fraction=0.25)
    spec = parent[0]
    every = spec.diagnostics.model_copy(update={"log_every_steps": 1})
    own = spec.model_copy(update={"diagnostics": every})
    _, rows = tune(parent, told, tmp_path / "run", spec=own)
    rates = [rows[step][FINETUNING_LEARNING_RATE] / told.learning_rate for step in range(1, 17)]
    assert rates[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert rates[4:] == pytest.approx([(16 - n) / 12 for n in range(4, 16)])


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true", "64-true"])
def test_it_is_trained_in_the_precision_of_pre_training(parent, tmp_path, precision):
    spec = parent[0]
    training = spec.training.model_copy(update={"precision": precision})
    own = spec.model_copy(update={"training": training})
    told = finetuning(easy_task(tmp_path / "task"))
    result, _ = tune(parent, told, tmp_path / "run", spec=own)
    assert result.outcome is Outcome.COMPLETED
    assert TASK_SCORE in result.summary


def test_divergence_ends_it(parent, tmp_path):
    told = finetuning(easy_task(tmp_path / "task"), learning_rate=1e6, epochs=8)
    result, _ = tune(parent, told, tmp_path / "run")
    assert result.outcome is Outcome.DIVERGED
    assert TASK_SCORE not in result.summary


def test_weights_that_are_not_there_are_told(parent, tmp_path):
    told = finetuning(easy_task(tmp_path / "task"))
    with pytest.raises(AblationError):
        tune((parent[0], tmp_path / "nothing"), told, tmp_path / "run")


def small(**changes):
    return ModelConfig(n_layers=1, n_heads=2, d_model=16, context_length=32, **changes)


def test_more_tokens_change_nothing_that_was_there():
    for tied in (True, False):
        gpt = GPT(small(tied_head=tied), 11, seed=0).eval()
        larger = with_more_tokens(gpt, 3, seed=1).eval()
        tokens = torch.tensor([[1, 10, 4]])
        assert torch.allclose(larger(tokens)[..., :11], gpt(tokens), atol=1e-6)
        assert larger.vocabulary_size == 14
    assert with_more_tokens(gpt, 0, seed=1) is gpt


@pytest.mark.parametrize("norm", NORMS)
def test_padding_behind_a_row_changes_nothing(norm, corpus, tmp_path):
    placement = "none" if norm == "none" else "pre"
    task = every_form(tmp_path)["entailment"]
    spec = tiny_spec(corpus)
    codec = Codec(build_token_store(spec.data, corpus.parent / "cache").directory / TOKENIZER)
    data = read_task(task, codec, 32)
    gpt = GPT(small(norm=norm, placement=placement), codec.vocabulary_size, seed=0)
    gpt = with_more_tokens(gpt, data.framing.added_tokens, seed=0)
    model = TaskModel(gpt, task, dropout=0.5, seed=0).eval()
    together = model(collate(data.train[:5], of_numbers=False)).logits_EC
    alone = [model(collate([e], of_numbers=False)).logits_EC for e in data.train[:5]]
    assert torch.allclose(together, torch.cat(alone), atol=1e-5)


def test_similarity_does_not_depend_on_the_order(corpus, tmp_path):
    task = every_form(tmp_path)["similarity"]
    spec = tiny_spec(corpus)
    codec = Codec(build_token_store(spec.data, corpus.parent / "cache").directory / TOKENIZER)
    data = read_task(task, codec, 32)
    gpt = with_more_tokens(GPT(small(), codec.vocabulary_size, seed=0), 3, seed=0)
    model = TaskModel(gpt, task, dropout=0.0, seed=0).eval()
    example = data.train[0]
    turned = example._replace(rows=example.rows[::-1])
    one, other = (model(collate([e], of_numbers=False)).logits_EC for e in (example, turned))
    assert torch.allclose(one, other, atol=1e-6)


def test_the_loss_is_that_of_the_paper(corpus, tmp_path):
    """Equation 5: the task's loss plus lambda times that of the language model."""
    task = every_form(tmp_path)["classification"]
    spec = tiny_spec(corpus)
    codec = Codec(build_token_store(spec.data, corpus.parent / "cache").directory / TOKENIZER)
    data = read_task(task, codec, 32)
    gpt = with_more_tokens(GPT(small(), codec.vocabulary_size, seed=0), 3, seed=0)
    model = TaskModel(gpt, task, dropout=0.0, seed=0)
    batch = collate(data.train[:6], of_numbers=False)
    told = finetuning(task, auxiliary_weight=0.5)
    tuner = FineTuner(model, told, TrainingConfig(), steps=1, scale=None)
    logits_NTV = gpt(batch.tokens_NT)
    nats = [
        -logits_NTV[n, t].log_softmax(-1)[batch.tokens_NT[n, t + 1]]
        for n, last in enumerate(batch.last_N.tolist())
        for t in range(last)
    ]
    logits_EC = model.task_head(gpt.features(batch.tokens_NT)[range(6), batch.last_N])
    of_task = -logits_EC.log_softmax(-1)[range(6), batch.labels_E].mean()
    expected = of_task + 0.5 * torch.stack(nats).mean()
    assert torch.allclose(tuner.training_step(batch, 0), expected, atol=1e-5)


def test_numbers_are_scaled_for_the_loss_alone(tmp_path):
    task = every_form(tmp_path)["regression"]
    gpt = GPT(small(), 11, seed=0)
    model = TaskModel(gpt, task, dropout=0.0, seed=0)
    scale = LabelScale(mean=2.0, deviation=0.5)
    tuner = FineTuner(model, finetuning(task), TrainingConfig(), steps=1, scale=scale)
    outputs, labels = torch.tensor([[1.0], [0.0]]), torch.tensor([3.0, 2.0])
    assert tuner.task_loss(outputs, labels) == pytest.approx(0.5)
    assert tuner.predictions(outputs).tolist() == [1.0, 0.0]
