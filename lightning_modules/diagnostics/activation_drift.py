"""How the residual stream of a GPT changes on a fixed probe batch: scale, outliers, drift to init.

"Activation drift" is a change of distribution on fixed inputs. It is not the internal covariate
shift of Santurkar et al. 2018, which is about gradients.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from lightning_modules.diagnostics.base import NO_READINGS, Diagnostic, Readings, Subject
from lightning_modules.diagnostics.taps import run_with_residual_taps
from lightning_modules.gpt.model import GPT
from studies.records import Metric, series_name

TAP = "residual"
RMS, DRIFT, NORMALIZED_DRIFT, KURTOSIS, PEAK = FAMILIES = (
    "activation_rms",
    "activation_drift",
    "activation_drift_normalized",
    "activation_kurtosis",
    "activation_peak",
)
SMALLEST_VARIANCE = 1e-6
"""Floor of a channel's reference variance, as a share of the mean over channels."""

_AT = "of the residual stream before block NN (the last tap: after the last block), probe batch"


class ActivationDrift(Diagnostic):
    """Statistics of the residual stream at L+1 taps, and their drift since step 0."""

    definitions: ClassVar[Mapping[str, Metric]] = {
        RMS: Metric("activation RMS", "", "neither", f"root mean square {_AT}"),
        DRIFT: Metric(
            "activation drift",
            "",
            "neither",
            "squared Gaussian 2-Wasserstein (Bures) distance to step 0 over the variance at "
            f"step 0, per channel, median over channels, {_AT}",
        ),
        NORMALIZED_DRIFT: Metric(
            "activation drift, scale removed",
            "",
            "neither",
            f"as activation_drift, after dividing by the layer's own RMS, {_AT}",
        ),
        KURTOSIS: Metric(
            "activation kurtosis",
            "",
            "neither",
            "mean_j s_j^4 / (mean_j s_j^2)^2 with s_j the RMS of channel j, 1 to d_model "
            f"(He et al. 2024), {_AT}",
        ),
        PEAK: Metric("activation peak", "", "neither", f"max |x| over RMS {_AT}"),
    }

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self._reference: Moments | None = None

    def probe(self) -> Readings:
        """Look at every tap; the first look of a run becomes the reference of its drift."""
        model = self.subject.model
        if not isinstance(model, GPT):
            return NO_READINGS
        looks: list[TapStatistics] = []
        run_with_residual_taps(
            model, self.subject.probe_BT, lambda index, x: looks.append(tap_statistics(x))
        )
        now = Moments(
            torch.stack([look.mean_D for look in looks]),
            torch.stack([look.std_D for look in looks]),
            torch.stack([look.rms for look in looks]),
        )
        if self._reference is None:
            self._reference = now
        columns = {
            RMS: now.rms_K,
            DRIFT: bures_drift(now, self._reference),
            NORMALIZED_DRIFT: bures_drift(now.normalized(), self._reference.normalized()),
            KURTOSIS: torch.stack([look.kurtosis for look in looks]),
            PEAK: torch.stack([look.peak for look in looks]),
        }
        taps = range(len(looks))
        names = [series_name(family, TAP, tap) for family in columns for tap in taps]
        return Readings(names, torch.cat(list(columns.values())))

    def state_dict(self) -> dict[str, Any]:
        """The moments at step 0."""
        return {} if self._reference is None else self._reference._asdict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take the moments at step 0 from a checkpoint."""
        device = self.subject.probe_BT.device
        if state:
            self._reference = Moments(**{name: value.to(device) for name, value in state.items()})


class TapStatistics(NamedTuple):
    """What one tap showed; D channels."""

    mean_D: Tensor
    std_D: Tensor
    rms: Tensor
    kurtosis: Tensor
    peak: Tensor


class Moments(NamedTuple):
    """Means and standard deviations of the channels at K taps, and the taps' RMS."""

    mean_KD: Tensor
    std_KD: Tensor
    rms_K: Tensor

    def normalized(self) -> Moments:
        """The moments of the activations divided by their own RMS."""
        scale_K1 = self.rms_K[:, None]
        return Moments(self.mean_KD / scale_K1, self.std_KD / scale_K1, torch.ones_like(self.rms_K))


def tap_statistics(x_BTD: Tensor) -> TapStatistics:
    """Statistics over the tokens of a tap, in fp32 or better.

    The variance is taken around the mean in a second pass: E[x^2] - E[x]^2 cancels where a
    channel's mean is large.
    """
    x_ND = x_BTD.flatten(0, 1).to(torch.promote_types(x_BTD.dtype, torch.float32))
    mean_D = x_ND.mean(0)
    variance_D = (x_ND - mean_D).square().mean(0)
    power_D = variance_D + mean_D.square()
    power = power_D.mean()
    rms = power.sqrt()
    return TapStatistics(
        mean_D, variance_D.sqrt(), rms, power_D.square().mean() / power**2, x_ND.abs().amax() / rms
    )


def bures_drift(now: Moments, reference: Moments) -> Tensor:
    """Normalised Bures drift (K,) to a reference.

    Per channel ((mean - mean_r)^2 + (std - std_r)^2) / std_r^2: the squared 2-Wasserstein distance
    of two Gaussians, in units of the reference's variance. The median over channels speaks for the
    layer, so that a few channels with next to no variance at step 0 cannot.
    """
    variance_KD = reference.std_KD.square()
    floor_K1 = SMALLEST_VARIANCE * variance_KD.mean(dim=1, keepdim=True)
    distance_KD = (now.mean_KD - reference.mean_KD).square() + (
        now.std_KD - reference.std_KD
    ).square()
    return (distance_KD / variance_KD.maximum(floor_K1)).quantile(0.5, dim=1)
