"""Pre-flight: a small version of a variant, with its real parts, is built and trained one step.

All its diagnostics look at it.

It costs some tens of milliseconds, and finds on the CPU what would otherwise fail on a GPU.
"""

from __future__ import annotations

import math
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from lightning_modules.checkpoint_io import AtomicCheckpointIO
from lightning_modules.data.token_store import TokenStore
from lightning_modules.diagnostics.suite import DiagnosticSuite
from lightning_modules.evaluation import evaluation_loss, loss_of
from lightning_modules.gpt.initialization import resolve_initialization
from lightning_modules.hugging_face.load import check_weights
from lightning_modules.manners import interruptible, quiet_lightning
from lightning_modules.model_facts import ModelFacts, model_facts
from lightning_modules.modules import build_module
from lightning_modules.schedule import Schedule
from lightning_modules.seeding import isolated_rng
from lightning_modules.stream import fixed_batches, training_batch
from lightning_modules.trainers import build_trainer, refuse_scaled_gradients
from studies.errors import AblationError
from studies.estimates import estimate
from studies.execution import ExecutionConfig
from studies.records import Leak, NoSink
from studies.run_spec import RunSpec
from studies.schema import ModelConfig

SMALL_LAYERS, SMALL_CONTEXT, SMALL_WIDTH, SMALL_VOCABULARY = 2, 16, 256, 512
SEQUENCES = 4
INITIAL_LOSS_TOLERANCE = 0.25
"""How far the loss before training may be from ln V, as a share of it."""
PARAMETER_TOLERANCE = 0.01
"""How far a gated variant's parameters may be from the ungated ones."""


@dataclass(frozen=True)
class VariantCheck:
    """What pre-flight found out about a variant."""

    problems: tuple[str, ...]
    """What must be mended before it is trained; empty if it is fit."""
    leak: Leak | None
    """None for a module of one's own without `forward(tokens) -> logits`."""
    parameters: int | None
    """Of the variant at full size, as the two below; None where it could not be built."""
    parameters_non_embedding: int | None
    flops_per_token: float | None
    initial_loss: float | None
    """Of the small version, nats per token."""
    silent: tuple[str, ...] = ()
    """Diagnostics that see nothing, or nothing finite, in a module of one's own."""
    modules: Mapping[str, int] = field(default_factory=dict)
    """Role to the number of sub-modules that play it in a module of one's own."""


def check_variant(spec: RunSpec, *, vocabulary_size: int) -> VariantCheck:
    """Build, measure and train a variant for one step; what goes wrong is a problem, not an error.

    A module of one's own is checked at its own size, since its arguments cannot be guessed; so are
    weights to start from, of which the small version has none.
    """
    own = spec.module is not None
    small = _uncompiled(spec if own else _small(spec))
    tokens = vocabulary_size if own else min(vocabulary_size, SMALL_VOCABULARY)
    try:
        if spec.model.weights is not None:
            check_weights(spec.model, vocabulary_size)
        with isolated_rng(), quiet_lightning():
            module = build_module(small, tokens)
            facts = model_facts(module, small, tokens)
            step = _train_one_step(module, small, tokens)
    except AblationError as error:
        return _failed(str(error))
    except Exception as error:
        return _failed(_where(error))
    is_drawn = spec.model.weights is None
    problems = [*_loss_problems(step, tokens, is_drawn=is_drawn), *_gradient_problems(step, module)]
    if own:
        return _check(problems, facts, step, own=True)
    return _check(
        problems,
        _at_full_size(facts, spec.model, vocabulary_size),
        step,
        own=False,
    )


def check_batches(spec: RunSpec, store: TokenStore) -> None:
    """Draw the batches of a run, as training will.

    Raises:
        AblationError: the text is too short for them.
    """
    training_batch(store, spec, step=0)
    fixed_batches(store, spec)


@dataclass
class _Step:
    """What one optimiser step showed."""

    initial_loss: float = math.nan
    loss: float = math.nan
    loss_after: float = math.nan
    silent: tuple[str, ...] = ()
    modules: Mapping[str, int] = field(default_factory=dict)
    gradients: tuple[tuple[str, Tensor | None], ...] = ()


class _Observer(pl.Callback):
    def __init__(self, spec: RunSpec, batch_BT: Tensor) -> None:
        self.step = _Step()
        self._spec = spec
        self._batch_BT = batch_BT

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        refuse_scaled_gradients(self._spec.training.precision, trainer.optimizers)
        self.step.initial_loss = evaluation_loss(trainer, [self._batch_BT])
        self._suite = DiagnosticSuite(
            self._spec.diagnostics,
            Schedule.of(_quick(self._spec)),
            pl_module,
            self._batch_BT,
            [self._batch_BT],
            trainer,
        )
        self.step.modules = self._suite.modules
        self._suite.probe(0)

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        self.step.gradients = tuple(
            (name, None if p.grad is None else p.grad.clone())
            for name, p in pl_module.named_parameters()
            if p.requires_grad
        )
        self._suite.before_step(1)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, *_: Any
    ) -> None:
        read = [self._suite.after_step(1, self._batch_BT), self._suite.probe(1)]
        self.step.silent = self._suite.silent(
            name
            for names, values in read
            for name, value in zip(names, values.tolist(), strict=True)
            if math.isfinite(value)
        )
        self.step.loss = float(loss_of(outputs))
        self.step.loss_after = evaluation_loss(trainer, [self._batch_BT])


class _OneBatch:
    def __init__(self, batch_BT: Tensor) -> None:
        self._batch_BT = batch_BT

    def __iter__(self) -> Iterator[Tensor]:
        yield self._batch_BT


def _train_one_step(module: pl.LightningModule, spec: RunSpec, vocabulary_size: int) -> _Step:
    generator = torch.Generator().manual_seed(spec.seed)
    shape = (SEQUENCES, spec.model.context_length + 1)
    batch_BT = torch.randint(vocabulary_size, shape, generator=generator)
    observer = _Observer(spec, batch_BT)
    execution = ExecutionConfig(accelerator="cpu")
    trainer = build_trainer(
        _quick(spec).training,
        execution,
        Path.cwd(),
        observer,
        AtomicCheckpointIO(spec.run_key, NoSink()),
    )
    with interruptible():
        trainer.fit(module, train_dataloaders=_OneBatch(batch_BT))
    return observer.step


def _loss_problems(step: _Step, vocabulary_size: int, *, is_drawn: bool) -> Iterator[str]:
    """What is wrong with the losses; where weights are given, nobody drew at what they begin."""
    expected = math.log(vocabulary_size)
    losses = {
        "before training": step.initial_loss,
        "in training": step.loss,
        "after one step": step.loss_after,
    }
    for when, loss in losses.items():
        if not math.isfinite(loss):
            yield f"the loss {when} is {loss}: check the initialisation and the precision"
            return
    if is_drawn and abs(step.initial_loss - expected) > INITIAL_LOSS_TOLERANCE * expected:
        yield (
            f"the loss before training is {step.initial_loss:.2f} nats/token, where guessing gives "
            f"ln {vocabulary_size} = {expected:.2f}: choose another initialization, or return the "
            "mean over tokens"
        )


def _gradient_problems(step: _Step, module: pl.LightningModule) -> Iterator[str]:
    if not step.gradients:
        yield "no parameter is trained: configure_optimizers must return an optimiser"
    unreached = [name for name, gradient in step.gradients if gradient is None]
    if unreached:
        yield f"no gradient reaches {', '.join(unreached)}: use these parameters, or freeze them"
    wild = [n for n, g in step.gradients if g is not None and not bool(g.isfinite().all())]
    if wild:
        yield (
            f"the gradient of {', '.join(wild)} is not finite: check the initialisation and the "
            "precision"
        )


def _uncompiled(spec: RunSpec) -> RunSpec:
    """The run without compilation, which here only costs time."""
    return spec.model_copy(update={"training": spec.training.model_copy(update={"compile": False})})


def _quick(spec: RunSpec) -> RunSpec:
    """The run cut down to one step; the module itself is built as for all of them.

    A CPU has autocast to half precision in bfloat16 alone.
    """
    precision = spec.training.precision
    update = {
        "max_steps": 1,
        "max_minutes": None,
        "batch_size": SEQUENCES,
        "accumulate": 1,
        "precision": "bf16-mixed" if precision == "16-mixed" else precision,
    }
    return spec.model_copy(update={"training": spec.training.model_copy(update=update)})


def _small(spec: RunSpec) -> RunSpec:
    """The run with fewer layers, a shorter context and, where that divides, a narrower stream."""
    model = spec.model
    width = model.d_model
    unit = math.lcm(2 * model.n_heads, 8 * (model.norm_groups or 4))
    while width > SMALL_WIDTH and width % 2 == 0 and (width // 2) % unit == 0:
        width //= 2
    update = {
        "n_layers": min(model.n_layers, SMALL_LAYERS),
        "context_length": min(model.context_length, SMALL_CONTEXT),
        "d_model": width,
        "d_ff": model.d_ff and max(1, model.d_ff * width // model.d_model),
        "initialization": resolve_initialization(model),  # by the full width
        "weights": None,
    }
    return spec.model_copy(update={"model": model.model_copy(update=update)})


def _at_full_size(facts: ModelFacts, model: ModelConfig, vocabulary_size: int) -> ModelFacts:
    full = estimate(model, vocabulary_size)
    return ModelFacts(
        facts.leak, full.parameters, full.parameters_non_embedding, full.flops_per_token
    )


def _check(problems: list[str], facts: ModelFacts, step: _Step, *, own: bool) -> VariantCheck:
    loss = step.initial_loss
    return VariantCheck(
        problems=tuple(problems),
        leak=facts.leak,
        parameters=facts.parameters,
        parameters_non_embedding=facts.parameters_non_embedding,
        flops_per_token=facts.flops_per_token,
        initial_loss=loss if math.isfinite(loss) else None,
        silent=step.silent if own else (),
        modules=step.modules if own else {},
    )


def _failed(problem: str) -> VariantCheck:
    return VariantCheck((problem,), None, None, None, None, None)


def _where(error: Exception) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({frame.filename}:{frame.lineno})"
