"""How large activations are on the probe batch, and how that changes from initialisation on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from lightning_modules.diagnostics.base import Subject, TapDiagnostic
from lightning_modules.diagnostics.fixed_by_norms import BATCH_NORMS, TOKEN_NORMS, fixed_by_norms
from lightning_modules.diagnostics.taps import TAPS, Look
from lightning_modules.schedule import Cost
from studies.metrics import Metric

RMS, CHANGE = "activation_rms", "activation_rms_change"
_FIXED = (
    *fixed_by_norms(
        "the norm makes the RMS 1 before its gain and bias: what moves is how these weigh the "
        "channels",
        TOKEN_NORMS,
    ),
    *fixed_by_norms(
        "batch norm makes the RMS 1 before its gain and bias, as far as its running statistics "
        "keep up",
        BATCH_NORMS,
    ),
)


class ActivationScale(TapDiagnostic):
    """Root mean square at every tap, and the logarithm of its ratio to that at step 0."""

    cost: ClassVar = Cost.PROBE
    taps: ClassVar = tuple(TAPS)
    definitions: ClassVar[Mapping[str, Metric]] = {
        RMS: Metric(
            label="activation RMS",
            unit="",
            direction="neither",
            definition="root mean square of all entries at the tap, on the probe batch",
            formula=r"\sqrt{\tfrac{1}{ND} \sum_{n,c} x_{nc}^2}",
            scale="log",
            by_construction=_FIXED,
        ),
        CHANGE: Metric(
            label="change of RMS",
            unit="log2",
            direction="neither",
            definition="binary logarithm of the RMS at the tap over its value at step 0",
            formula=r"\log_2 \left( \mathrm{rms}_t / \mathrm{rms}_0 \right)",
            scale="diverging",
            by_construction=_FIXED,
        ),
    }

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self._reference: dict[str, Tensor] = {}

    def look(self, look: Look) -> None:
        """Note both; the first look at a tap is its reference, and has no change."""
        self.note(RMS, look.name, look.rms)
        if look.name in self._reference:
            self.note(CHANGE, look.name, (look.rms / self._reference[look.name]).log2())
        else:
            self._reference[look.name] = look.rms

    def state_dict(self) -> dict[str, Any]:
        """The RMS at step 0."""
        return dict(self._reference)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take the RMS at step 0 from a checkpoint."""
        device = self.subject.probe_BT.device
        self._reference = {tap: value.to(device) for tap, value in state.items()}
