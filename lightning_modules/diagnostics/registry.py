"""The diagnostics that a study may enable, by the names of `studies.diagnostics.DIAGNOSTICS`."""

from __future__ import annotations

from lightning_modules.diagnostics.activation_drift import ActivationDrift
from lightning_modules.diagnostics.activation_outliers import ActivationOutliers
from lightning_modules.diagnostics.activation_scale import ActivationScale
from lightning_modules.diagnostics.attention import AttentionSharpness
from lightning_modules.diagnostics.base import Diagnostic
from lightning_modules.diagnostics.batch_norm import BatchNormStatistics
from lightning_modules.diagnostics.gradient_norms import GradientNorms
from lightning_modules.diagnostics.hidden_units import HiddenUnits
from lightning_modules.diagnostics.internal_covariate_shift import InternalCovariateShift
from lightning_modules.diagnostics.linear_cka import LinearCKA
from lightning_modules.diagnostics.representation_collapse import RepresentationCollapse
from lightning_modules.diagnostics.sliced_wasserstein import SlicedWasserstein
from lightning_modules.diagnostics.update_ratios import UpdateRatios
from studies.registry import Registry

DIAGNOSTICS: Registry[type[Diagnostic]] = Registry(
    "diagnostic",
    {
        "gradient_norms": GradientNorms,
        "update_ratios": UpdateRatios,
        "activation_scale": ActivationScale,
        "activation_drift": ActivationDrift,
        "activation_outliers": ActivationOutliers,
        "representation_collapse": RepresentationCollapse,
        "hidden_units": HiddenUnits,
        "attention": AttentionSharpness,
        "batch_norm": BatchNormStatistics,
        "internal_covariate_shift": InternalCovariateShift,
        "linear_cka": LinearCKA,
        "sliced_wasserstein": SlicedWasserstein,
    },
)
