"""Fine-tuning one run: its spec, the folder of the run that it goes on from, and an outcome."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from lightning_modules.accounting import count_parameters
from lightning_modules.checkpoint_io import AtomicCheckpointIO
from lightning_modules.checkpoints import TOKENIZER
from lightning_modules.data.codec import Codec
from lightning_modules.data.token_store import build_token_store
from lightning_modules.digests import digest_of_batches
from lightning_modules.finetuning.batches import TaskStream, evaluation_batches, steps_of_epoch
from lightning_modules.finetuning.callback import TaskCallback, TaskContext
from lightning_modules.finetuning.fine_tuner import FineTuner, LabelScale
from lightning_modules.finetuning.inputs import Encoded
from lightning_modules.finetuning.scores import constant_score
from lightning_modules.finetuning.task_data import TaskData, read_task
from lightning_modules.finetuning.task_model import TaskModel, with_more_tokens
from lightning_modules.gpt.model import GPT
from lightning_modules.keepsakes import load_trained
from lightning_modules.language_model import LanguageModel
from lightning_modules.manners import quiet_lightning
from lightning_modules.modules import build_module
from lightning_modules.results import device_name
from lightning_modules.seeding import isolated_rng
from lightning_modules.trainers import build_trainer
from lightning_modules.training import RunInterrupted
from studies.digests import EVALUATION_DATA
from studies.execution import ExecutionConfig
from studies.finetuning import Finetuning
from studies.metrics import DIVERGED_AT_STEP, LAST_TRAIN_LOSS, PARAMETERS, STEPS, TRAINING_TIME_S
from studies.records import MetricSink, Outcome, RunResult
from studies.run_spec import RunSpec
from studies.schema import TrainingConfig
from studies.task_metrics import (
    CONSTANT_SCORE,
    EVALUATION_EXAMPLES,
    TASK_METRICS,
    TRAIN_EXAMPLES,
    TRUNCATED_PERCENT,
    UNKNOWN_PERCENT,
)


def finetune_run(
    spec: RunSpec,
    *,
    pretrained: Path | None,
    execution: ExecutionConfig,
    cache: Path,
    directory: Path,
    resume_from: Path | None,
    sink: MetricSink,
    should_stop: Callable[[], bool],
) -> RunResult:
    """Fine-tune a model to the last step, or until it diverges; the score is of the last step.

    As with `train_run`, equal specs give equal numbers on one machine, interrupted or not.

    Args:
        spec: the run, with its `finetuning`.
        pretrained: folder of the attempt that kept the weights of the run's parent; None where it
            has none.
        execution: how it is executed.
        cache: where tokens are kept between runs.
        directory: where the newest checkpoint of this attempt is kept.
        resume_from: a checkpoint of this run to go on from.
        sink: takes the numbers as they come.
        should_stop: asked after every optimiser step.

    Raises:
        RunInterrupted: `should_stop()` turned true; a checkpoint was written.
        AblationError: the run cannot be trained as it stands.
    """
    gpt, data = start_and_data(spec, pretrained, cache)
    context = context_of(spec, data, execution, directory, sink, should_stop)
    callback = TaskCallback(context)
    fitted = fit(spec, gpt, data, callback, execution, resume_from)
    if callback.interrupted:
        raise RunInterrupted(callback.step)
    return _result(spec, data, context, callback, fitted)


class Fitted(NamedTuple):
    """What a trainer leaves."""

    device: torch.device
    parameters: int


def fit(
    spec: RunSpec,
    gpt: GPT,
    data: TaskData,
    callback: TaskCallback,
    execution: ExecutionConfig,
    resume_from: Path | None,
) -> Fitted:
    """Fine-tune a model until the callback says that it is enough."""
    finetuning, context = finetuning_of(spec), callback.context
    with isolated_rng(), quiet_lightning():
        module = _module(spec, gpt, data, context.steps)
        parameters = count_parameters(module).total
        training = _as_trained(spec.training, context.steps)
        checkpoint_io = AtomicCheckpointIO(spec.run_key, context.sink)
        trainer = build_trainer(training, execution, context.directory, callback, checkpoint_io)
        trainer.precision_plugin.convert_module(module)
        stream = TaskStream(
            data.train,
            trainer,
            batch_size=finetuning.batch_size,
            steps=context.steps,
            seed=finetuning.seed,
            of_numbers=finetuning.definition.labels is None,
        )
        trainer.fit(module, train_dataloaders=stream, ckpt_path=resume_from)
    return Fitted(trainer.strategy.root_device, parameters)


def finetuning_of(spec: RunSpec) -> Finetuning:
    """How a run fine-tunes; one that pre-trains must not come here."""
    assert spec.finetuning is not None, "a run of pre-training"
    return spec.finetuning


def start_and_data(spec: RunSpec, pretrained: Path | None, cache: Path) -> tuple[GPT, TaskData]:
    """The model that a run starts from, and its task in the tokens of that model.

    Raises:
        AblationError: the weights or the files of the task cannot be used.
    """
    with isolated_rng():
        gpt, codec = _model(spec, pretrained, cache)
    return gpt, read_task(finetuning_of(spec).definition, codec, spec.model.context_length)


def _model(spec: RunSpec, pretrained: Path | None, cache: Path) -> tuple[GPT, Codec]:
    """The model that is fine-tuned, trained or as its run begins, with its tokeniser."""
    if pretrained is None:
        codec = Codec(build_token_store(spec.data, cache).directory / TOKENIZER)
        module = build_module(spec, codec.vocabulary_size)
    else:
        module, codec, _ = load_trained(spec, pretrained)
    assert isinstance(module, LanguageModel), "a study with a module of its own fine-tunes nothing"
    return module.model, codec


def _module(spec: RunSpec, gpt: GPT, data: TaskData, steps: int) -> FineTuner:
    finetuning = finetuning_of(spec)
    task, seed = finetuning.definition, finetuning.seed
    gpt = with_more_tokens(gpt, data.framing.added_tokens, seed=seed)
    model = TaskModel(gpt, task, dropout=finetuning.classifier_dropout, seed=seed)
    scale = _label_scale(data.train) if task.labels is None else None
    return FineTuner(model, finetuning, spec.training, steps=steps, scale=scale)


def _label_scale(examples: Sequence[Encoded]) -> LabelScale:
    labels = torch.tensor([example.label for example in examples], dtype=torch.float64)
    deviation = float(labels.std(correction=0))
    return LabelScale(float(labels.mean()), deviation or 1.0)


def context_of(
    spec: RunSpec,
    data: TaskData,
    execution: ExecutionConfig,
    directory: Path,
    sink: MetricSink,
    should_stop: Callable[[], bool],
) -> TaskContext:
    """What a fine-tuning comes to, with the examples that it is scored on."""
    finetuning = finetuning_of(spec)
    of_numbers = finetuning.definition.labels is None
    per_epoch = steps_of_epoch(len(data.train), finetuning.batch_size)
    vocabulary_size = data.framing.codec.vocabulary_size
    return TaskContext(
        task=finetuning.definition,
        evaluation=evaluation_batches(
            data.evaluation, finetuning.batch_size, of_numbers=of_numbers
        ),
        steps=finetuning.epochs * per_epoch,
        steps_per_epoch=per_epoch,
        log_every_steps=spec.diagnostics.log_every_steps,
        loss_limit=spec.training.divergence_factor
        * math.log(vocabulary_size)
        * (1 + finetuning.auxiliary_weight),
        seed=finetuning.seed,
        sink=sink,
        directory=directory,
        checkpoint_every_s=execution.checkpoint_every_s,
        should_stop=should_stop,
    )


def _as_trained(training: TrainingConfig, steps: int) -> TrainingConfig:
    """Steps of fine-tuning, each of one batch: rows have many lengths, and are not compiled."""
    return training.model_copy(update={"max_steps": steps, "accumulate": 1})


def _result(
    spec: RunSpec, data: TaskData, context: TaskContext, run: TaskCallback, fitted: Fitted
) -> RunResult:
    finetuning = finetuning_of(spec)
    task = finetuning.definition
    train_E = torch.tensor([example.label for example in data.train])
    labels_E = torch.tensor([example.label for example in data.evaluation])
    labels_E = labels_E if task.labels is None else labels_E.long()
    values: dict[str, float | None] = {
        **run.summary,
        CONSTANT_SCORE: constant_score(task, train_E, labels_E),
        TRAIN_EXAMPLES: len(data.train),
        EVALUATION_EXAMPLES: len(data.evaluation),
        TRUNCATED_PERCENT: data.truncated_percent,
        UNKNOWN_PERCENT: data.unknown_percent,
        LAST_TRAIN_LOSS: run.losses.last_finite,
        DIVERGED_AT_STEP: run.losses.diverged_at_step,
        PARAMETERS: fitted.parameters,
        STEPS: run.step,
        TRAINING_TIME_S: run.clock.times.training_s,
    }
    diverged = run.losses.diverged_at_step is not None
    return RunResult(
        outcome=Outcome.DIVERGED if diverged else Outcome.COMPLETED,
        summary={k: float(v) for k, v in values.items() if v is not None and math.isfinite(v)},
        leak=None,
        facts={
            "task": finetuning.task,
            "task_digest": task.source_digest,
            "device": device_name(fitted.device),
            "precision": spec.training.precision,
        },
        definitions=TASK_METRICS,
        digests={EVALUATION_DATA: digest_of_batches(b.tokens_NT for b in context.evaluation)},
    )
