"""What a diagnostic is: something measured inside the model while it trains."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import pytorch_lightning as pl
import torch
from torch import Tensor

from lightning_modules.diagnostics.module_roles import ModuleRoles
from lightning_modules.diagnostics.running_statistics import BatchNorm, batch_norms
from lightning_modules.diagnostics.taps import Look, full_precision
from lightning_modules.evaluation import loss_of, returned_loss
from lightning_modules.schedule import Cost
from studies.metrics import Metric

Precision = Callable[[], AbstractContextManager[Any]]


class Readings(NamedTuple):
    """Numbers of one look, still on the device; the caller copies them to the host together."""

    names: Sequence[str]
    """Metric names."""
    values: Tensor
    """(len(names),)"""


NO_READINGS = Readings((), torch.empty(0))


@dataclass(frozen=True)
class Subject:
    """What a diagnostic looks at."""

    module: pl.LightningModule
    """Its `validation_step` runs uncompiled."""
    roles: ModuleRoles
    probe_BT: Tensor
    """The fixed held-out probe batch, (B, T+1) tokens on the module's device."""
    precision: Precision = nullcontext
    """Makes the context in which validation steps run, such as autocast."""
    ranks: int = 1
    """Processes that train the module together; all of them look, at the same time."""

    def validation_loss(self, batch_BT: Tensor) -> Tensor:
        """The module's loss () on (B, T+1) tokens, in the mode that the module is in."""
        with self.precision():
            return loss_of(self.module.validation_step(batch_BT, 0))

    def exact_loss(self, batch_BT: Tensor) -> Tensor:
        """The loss () with its gradient, without autocast, whose rounding is an error like noise.

        What else the precision of the run does, such as to the type of new tensors, it does.
        """
        with self.precision(), full_precision(batch_BT):
            return returned_loss(self.module.validation_step(batch_BT, 0))

    def loss(self) -> Tensor:
        """The loss () on the probe batch."""
        return self.validation_loss(self.probe_BT)

    def batch_norms(self) -> dict[str, BatchNorm]:
        """Its batch norms by name; none where the probe is a single sequence."""
        return batch_norms(self.module) if len(self.probe_BT) > 1 else {}


class Diagnostic:
    """Base of the diagnostics: override what applies.

    A diagnostic changes nothing: no parameter, gradient, buffer or state of a random generator.
    It returns tensors and never synchronises with the device.
    """

    cost: ClassVar[Cost]
    definitions: ClassVar[Mapping[str, Metric]]
    """Definition of each metric, or of each family of curves, that it records."""
    taps: ClassVar[tuple[str, ...]] = ()
    """Taps that `look` is shown, names of `studies.diagnostics.TAPS`."""

    of_update: ClassVar[bool] = False
    """Whether `after_step` tells of what the optimiser did: half precision leaves out a step whose
    gradients are not finite, of which there is nothing to tell."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject

    def before_step(self) -> None:
        """See a training step: gradients are complete and not clipped, nothing is updated."""

    def after_step(self, batch_BT: Tensor) -> Readings:
        """See the same step once the optimiser has made it, with its last micro-batch (b, T+1)."""
        return NO_READINGS

    def look(self, look: Look) -> None:
        """See one tap in the forward pass on the probe batch, in evaluation mode."""

    def probe(self, loss: Tensor | None) -> Readings:
        """After that pass: what was seen in it, and in passes of one's own.

        `loss` () is that of the pass; None if there was none on the model as it is.
        """
        return NO_READINGS

    def state_dict(self) -> dict[str, Any]:
        """Plain values and tensors that a resumed run needs, such as a reference at step 0."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up where the checkpoint left off."""


class TapDiagnostic(Diagnostic):
    """Base of the diagnostics that need nothing but to look at taps: override `look`."""

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self._noted: dict[str, Tensor] = {}

    def note(self, family: str, leaf: str, value: Tensor) -> None:
        """Keep a number () of this pass."""
        self._noted[f"{family}/{leaf}"] = value

    def probe(self, loss: Tensor | None) -> Readings:
        """What was noted in the pass."""
        noted, self._noted = self._noted, {}
        return Readings(list(noted), torch.stack(list(noted.values()))) if noted else NO_READINGS
