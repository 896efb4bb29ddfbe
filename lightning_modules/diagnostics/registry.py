"""The diagnostics that a study may enable, by the names of `studies.vocabulary.DIAGNOSTICS`."""

from __future__ import annotations

from lightning_modules.diagnostics.activation_drift import ActivationDrift
from lightning_modules.diagnostics.base import Diagnostic
from lightning_modules.diagnostics.gradient_norms import GradientNorms
from studies.registry import Registry

DIAGNOSTICS: Registry[type[Diagnostic]] = Registry(
    "diagnostic",
    {
        "gradient_norms": GradientNorms,
        "activation_drift": ActivationDrift,
    },
)
