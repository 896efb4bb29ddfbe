"""The enabled diagnostics of a run, each at its cadence, read so that the host is asked once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from lightning_modules.diagnostics.base import (
    NO_READINGS,
    Diagnostic,
    Readings,
    Subject,
)
from lightning_modules.diagnostics.module_roles import ModuleRoles, find_roles
from lightning_modules.diagnostics.registry import DIAGNOSTICS
from lightning_modules.diagnostics.running_statistics import batch_norms, calibrated
from lightning_modules.diagnostics.taps import Look, run_with_taps
from lightning_modules.evaluation import evaluation_mode
from lightning_modules.manners import unlogged
from lightning_modules.schedule import Schedule
from studies.metrics import Metric
from studies.schema import DiagnosticsConfig

CALIBRATION_BATCHES = 16
"""Batches whose statistics stand for running ones at the first look."""


class DiagnosticSuite:
    """Builds the diagnostics that a run enables, and joins what they read."""

    def __init__(
        self,
        config: DiagnosticsConfig,
        schedule: Schedule,
        module: pl.LightningModule,
        probe_BT: Tensor,
        evaluation_BT: Sequence[Tensor],
        trainer: pl.Trainer | None = None,
    ) -> None:
        """All batches are (B, T+1) tokens on the module's device.

        Args:
            config: which diagnostics there are.
            schedule: when they look.
            module: what they look at.
            probe_BT: the probe batch.
            evaluation_BT: held-out batches of the size of a micro-batch, on which running
                statistics are calibrated for the first look.
            trainer: who trains the module, if anybody: in the precision of its validation steps,
                and with those of its ranks, all of which look.

        Raises:
            AblationError: a pattern of `config.modules` matches no module.
        """
        self._schedule = schedule
        self._subject = _subject(module, find_roles(module, config.modules), probe_BT, trainer)
        self._diagnostics = {name: DIAGNOSTICS[name](self._subject) for name in config.enabled}
        self._is_made = torch.tensor(True, device=module.device)
        """Whether the optimiser makes the step that is looked at: with finite gradients alone."""
        self._calibration_BT = [b for b in evaluation_BT if len(b) > 1][:CALIBRATION_BATCHES]

    def watches(self, step: int) -> bool:
        """Whether any diagnostic is to see an optimiser step."""
        return bool(self._watching(step))

    def before_step(self, step: int) -> None:
        """Show the gradients of an optimiser step to those whose turn it is."""
        watching = self._watching(step)
        with torch.no_grad():
            if any(diagnostic.of_update for diagnostic in watching):
                self._is_made = _gradients_are_finite(self._subject.module)
            for diagnostic in watching:
                diagnostic.before_step()

    def after_step(self, step: int, batch_BT: Tensor) -> Readings:
        """Readings of an optimiser step, once it is made, with its last micro-batch (b, T+1)."""
        with unlogged(self._subject.module), torch.no_grad():
            return _joined(
                self._if_made(d.after_step(batch_BT)) if d.of_update else d.after_step(batch_BT)
                for d in self._watching(step)
            )

    def probes(self, step: int) -> bool:
        """Whether any diagnostic is to see the probe batch at a step, or (0) before the first."""
        return bool(self._probing(step))

    def probe(self, step: int) -> Readings:
        """Readings on the probe batch of those whose turn it is, from one pass for all."""
        due = self._probing(step)
        if not due:
            return NO_READINGS
        module = self._subject.module
        with evaluation_mode(module), unlogged(module):
            loss = self._show_taps(due, calibrate=step == 0)
            return _joined(diagnostic.probe(None if step == 0 else loss) for diagnostic in due)

    @property
    def modules(self) -> dict[str, int]:
        """Role to the number of sub-modules that play it."""
        return {role: len(modules) for role, modules in self._subject.roles.items()}

    def silent(self, names: Iterable[str]) -> tuple[str, ...]:
        """The diagnostics that gave none of these readings."""
        families = {part for name in names for part in (name, name.rpartition("/")[0])}
        return tuple(
            name for name, d in self._diagnostics.items() if not families & d.definitions.keys()
        )

    def state_dict(self) -> dict[str, Any]:
        """State of each diagnostic by name."""
        return {name: d.state_dict() for name, d in self._diagnostics.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Give each diagnostic its state."""
        for name, diagnostic in self._diagnostics.items():
            diagnostic.load_state_dict(state.get(name, {}))

    def _if_made(self, readings: Readings) -> Readings:
        if not readings.names:
            return NO_READINGS
        return Readings(readings.names, readings.values.where(self._is_made, torch.nan))

    def _watching(self, step: int) -> list[Diagnostic]:
        return [d for d in self._due(step) if _overrides(d, "before_step", "after_step")]

    def _probing(self, step: int) -> list[Diagnostic]:
        return [d for d in self._due(step) if _overrides(d, "look", "probe")]

    def _due(self, step: int) -> list[Diagnostic]:
        looks = self._schedule.looks
        return [d for name, d in self._diagnostics.items() if looks(name, d.cost, step)]

    def _show_taps(self, due: list[Diagnostic], *, calibrate: bool) -> Tensor | None:
        """One forward pass, if anybody looks: its loss.

        At the start running statistics are as if batches had been seen: else their warm-up would be
        the better part of every drift.
        """
        taps = dict.fromkeys(tap for diagnostic in due for tap in diagnostic.taps)
        if not taps:
            return None

        def show(look: Look) -> None:
            for diagnostic in due:
                if look.tap in diagnostic.taps:
                    diagnostic.look(look)

        run, roles = self._subject.loss, self._subject.roles
        if not calibrate:
            return run_with_taps(run, roles, taps, show)
        runs = [partial(self._subject.validation_loss, batch) for batch in self._calibration_BT]
        with calibrated(runs, batch_norms(self._subject.module)):
            return run_with_taps(run, roles, taps, show)


def _subject(
    module: pl.LightningModule, roles: ModuleRoles, probe_BT: Tensor, trainer: pl.Trainer | None
) -> Subject:
    if trainer is None:
        return Subject(module, roles, probe_BT)
    precision = trainer.precision_plugin.val_step_context
    return Subject(module, roles, probe_BT, precision, trainer.world_size)


def _gradients_are_finite(module: nn.Module) -> Tensor:
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    if not gradients:
        return torch.ones((), dtype=torch.bool)
    wide = torch.promote_types(gradients[0].dtype, torch.float32)  # a sum of halves overflows
    return torch.stack(list(torch._foreach_norm(gradients, dtype=wide))).isfinite().all()


def _overrides(diagnostic: Diagnostic, *methods: str) -> bool:
    return any(getattr(type(diagnostic), m) is not getattr(Diagnostic, m) for m in methods)


def _joined(readings: Iterable[Readings]) -> Readings:
    parts = [part for part in readings if part.names]
    names = [name for part in parts for name in part.names]
    values = [part.values.float() for part in parts]
    return Readings(names, torch.cat(values)) if parts else NO_READINGS


def definitions_of(enabled: Iterable[str]) -> dict[str, Metric]:
    """What the named diagnostics record."""
    return {key: m for name in enabled for key, m in DIAGNOSTICS[name].definitions.items()}
