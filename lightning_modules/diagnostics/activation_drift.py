"""How the distribution of activations on a fixed probe batch moves: from init, and per probe.

"Activation drift" is a change of distribution on fixed inputs. It is not the internal covariate
shift of Santurkar et al. 2018, which is about gradients.
Legend: D channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from lightning_modules.diagnostics.base import Subject, TapDiagnostic
from lightning_modules.diagnostics.fixed_by_norms import BATCH_NORMS, fixed_by_norms
from lightning_modules.diagnostics.taps import TAPS, Look
from lightning_modules.schedule import Cost
from studies.metrics import Metric

DRIFT, NORMALIZED = "activation_drift", "activation_drift_normalized"
STEP, NORMALIZED_STEP = "activation_drift_step", "activation_drift_step_normalized"
SMALLEST_VARIANCE = 1e-6
"""Floor of a channel's reference variance, as a share of the mean over channels."""

_BURES = (
    "squared Gaussian 2-Wasserstein (Bures) distance per channel to {reference}, over the variance "
    "there; median over channels, on the probe batch"
)
_FORMULA = (
    r"\mathrm{median}_c \, \frac{(\mu_c - \mu_c^r)^2 + (\sigma_c - \sigma_c^r)^2}"
    r"{\max((\sigma_c^r)^2, \, 10^{-6} \, \mathrm{mean}_k (\sigma_k^r)^2)}"
)
_SCALED = "; activations are divided by the RMS at the tap first, so that growth is no drift"
_SOURCE = "Dowson & Landau 1982 (the distance)"
_FIXED = fixed_by_norms(
    "batch norm fixes each channel's mean and variance before its gain and bias, as far as its "
    "running statistics keep up",
    BATCH_NORMS,
)


def _metric(label: str, reference: str, addition: str = "", *, of_step: bool = False) -> Metric:
    return Metric(
        label=label,
        unit="",
        direction="neither",
        definition=_BURES.format(reference=reference) + addition,
        formula=_FORMULA,
        source=_SOURCE,
        scale="log",
        by_construction=_FIXED,
        of_step=of_step,
    )


class ActivationDrift(TapDiagnostic):
    """Normalised Bures drift to step 0 and to the probe before, raw and with the scale removed."""

    cost: ClassVar = Cost.PROBE
    taps: ClassVar = tuple(TAPS)
    definitions: ClassVar[Mapping[str, Metric]] = {
        DRIFT: _metric("activation drift", "step 0"),
        NORMALIZED: _metric("activation drift, scale removed", "step 0", _SCALED),
        STEP: _metric("activation drift per probe", "the probe before", of_step=True),
        NORMALIZED_STEP: _metric(
            "activation drift per probe, scale removed", "the probe before", _SCALED, of_step=True
        ),
    }

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self._first: dict[str, ChannelMoments] = {}
        self._before: dict[str, ChannelMoments] = {}

    def look(self, look: Look) -> None:
        """Compare with the first look at the tap, and with the one before."""
        mean_D, variance_D = look.moments
        now = ChannelMoments(mean_D, variance_D.sqrt(), look.rms)
        if look.name in self._first:
            self._compare(look.name, now, self._first[look.name], DRIFT, NORMALIZED)
            self._compare(look.name, now, self._before[look.name], STEP, NORMALIZED_STEP)
        else:
            self._first[look.name] = now
        self._before[look.name] = now

    def _compare(
        self, tap: str, now: ChannelMoments, then: ChannelMoments, raw: str, normalized: str
    ) -> None:
        self.note(raw, tap, bures_drift(now, then))
        self.note(normalized, tap, bures_drift(now.normalized(), then.normalized()))

    def state_dict(self) -> dict[str, Any]:
        """The moments at step 0 and at the last probe."""
        return {
            "first": {tap: moments._asdict() for tap, moments in self._first.items()},
            "before": {tap: moments._asdict() for tap, moments in self._before.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take both from a checkpoint."""
        device = self.subject.probe_BT.device
        self._first, self._before = (
            {
                tap: ChannelMoments(**{name: value.to(device) for name, value in moments.items()})
                for tap, moments in state.get(which, {}).items()
            }
            for which in ("first", "before")
        )


class ChannelMoments(NamedTuple):
    """Means and standard deviations of the channels at a tap, and the tap's RMS."""

    mean_D: Tensor
    std_D: Tensor
    rms: Tensor

    def normalized(self) -> ChannelMoments:
        """The moments of the activations divided by their own RMS."""
        return ChannelMoments(
            self.mean_D / self.rms, self.std_D / self.rms, torch.ones_like(self.rms)
        )


def bures_drift(now: ChannelMoments, reference: ChannelMoments) -> Tensor:
    """Normalised Bures drift () to a reference.

    Per channel ((mean - mean_r)² + (std - std_r)²) / std_r²: the squared 2-Wasserstein distance
    of two Gaussians, in units of the reference's variance. The median over channels speaks for the
    layer, so that a few channels with next to no variance in the reference cannot.
    """
    variance_D = reference.std_D.square()
    floor = SMALLEST_VARIANCE * variance_D.mean()
    distance_D = (now.mean_D - reference.mean_D).square() + (now.std_D - reference.std_D).square()
    return (distance_D / variance_D.maximum(floor)).quantile(0.5)
