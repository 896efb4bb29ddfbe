"""What a diagnostic is: something measured inside the model while it trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from studies.records import Metric


class Readings(NamedTuple):
    """Numbers of one look, still on the device; the caller copies them to the host together."""

    names: Sequence[str]
    """Metric names."""
    values: Tensor
    """(len(names),)"""


NO_READINGS = Readings((), torch.empty(0))


class Subject(NamedTuple):
    """What a diagnostic looks at."""

    model: nn.Module
    """Uncompiled; a GPT, or a LightningModule of one's own."""
    probe_BT: Tensor
    """Tokens of the fixed held-out probe batch, on the model's device."""


class Diagnostic:
    """Base of the diagnostics: override what applies.

    A diagnostic changes nothing: no parameter, gradient, buffer or state of a random generator.
    It returns tensors and never synchronises with the device.
    """

    definitions: ClassVar[Mapping[str, Metric]]
    """Definition of each metric, or of each family of curves, that it records."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject

    def read_gradients(self) -> Readings:
        """Look at the gradients of a step that is logged, before they are clipped."""
        return NO_READINGS

    def probe(self) -> Readings:
        """Look at the model on the probe batch: in evaluation mode, without gradients."""
        return NO_READINGS

    def state_dict(self) -> dict[str, Any]:
        """Plain values and tensors that a resumed run needs, such as a reference at step 0."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up where the checkpoint left off."""
