"""Outlier channels and entries of the activations on the probe batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from lightning_modules.diagnostics.base import TapDiagnostic
from lightning_modules.diagnostics.fixed_by_norms import BATCH_NORMS, fixed_by_norms
from lightning_modules.diagnostics.taps import TAPS, Look
from lightning_modules.schedule import Cost
from studies.metrics import Metric

KURTOSIS, PEAK = "activation_kurtosis", "activation_peak"


class ActivationOutliers(TapDiagnostic):
    """Kurtosis over channels, and the largest entry."""

    cost: ClassVar = Cost.PROBE
    taps: ClassVar = tuple(TAPS)
    definitions: ClassVar[Mapping[str, Metric]] = {
        KURTOSIS: Metric(
            label="channel kurtosis",
            unit="",
            direction="neither",
            definition="kurtosis of the channels' RMS s_c over the probe batch: 1 where all "
            "channels are equally large, D where one has all the power",
            formula=r"\tfrac{1}{D} \sum_c s_c^4 \,/\, \left( \tfrac{1}{D} \sum_c s_c^2 \right)^2",
            source="He et al. 2024, equation 1",
            scale="log",
            by_construction=fixed_by_norms(
                "batch norm makes all channels equally large before its gain and bias, as far "
                "as its running statistics keep up",
                BATCH_NORMS,
            ),
        ),
        PEAK: Metric(
            label="activation peak",
            unit="",
            direction="neither",
            definition="largest absolute entry at the tap over the RMS, on the probe batch",
            formula=r"\max_{n,c} |x_{nc}| \,/\, \mathrm{rms}",
            source="Bondarenko et al. 2023 (infinity norm, there not over the RMS)",
            scale="log",
        ),
    }

    def look(self, look: Look) -> None:
        """Note both."""
        power_D = look.power_D
        self.note(KURTOSIS, look.name, power_D.square().mean() / power_D.mean().square())
        self.note(PEAK, look.name, look.x_ND.abs().amax() / look.rms)
