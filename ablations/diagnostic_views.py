"""What the views of diagnostics show: families of curves, and the charts of their layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from studies.metrics import series_name


@dataclass(frozen=True)
class Section:
    """Charts under one heading."""

    name: str
    """A family of metrics: the UI puts the charts that it makes for the others behind ours."""
    metrics: tuple[str, ...]
    scale: Literal["linear", "log"] = "linear"


MOST_LAYERS = 13
"""Charts of a family in a view: those of twelve blocks, or as many at even distances."""


@dataclass(frozen=True)
class Family:
    """What a view shows of a family of curves: every layer of the model, or as many as are read."""

    name: str
    tap: str | None
    """What its layers are counted at; None for curves of the model as a whole alone."""
    scale: Literal["linear", "log"] = "linear"
    whole: tuple[str, ...] = ()
    """Curves of the model as a whole, which come first."""

    def section(self, layers: int | None) -> Section:
        """Charts for a number of blocks; if it is not known, those of the model as a whole."""
        names = [f"{self.name}/{name}" for name in self.whole]
        if layers is not None and self.tap is not None:
            last = layers if self.tap == "residual" else layers - 1
            count = min(last, MOST_LAYERS - 1)  # the UI draws the others behind, on linear axes
            shown = dict.fromkeys(round(i * last / max(count, 1)) for i in range(count + 1))
            names += [series_name(self.name, self.tap, index) for index in shown]
        return Section(self.name, tuple(names), self.scale)


DIAGNOSTIC_VIEWS: dict[str, tuple[Family, ...]] = {
    "gradient_norms": (Family("gradient_norm", "block", "log", ("total",)),),
    "update_ratios": (Family("update_ratio", "block", "log", ("total",)),),
    "activation_scale": (
        Family("activation_rms", "residual", "log"),
        Family("activation_rms_change", "residual"),
    ),
    "activation_drift": (
        Family("activation_drift", "residual", "log"),
        Family("activation_drift_normalized", "residual", "log"),
    ),
    "activation_outliers": (
        Family("activation_kurtosis", "residual", "log"),
        Family("activation_peak", "residual", "log"),
    ),
    "representation_collapse": (
        Family("token_similarity", "residual"),
        Family("effective_rank", "residual", "log"),
    ),
    "hidden_units": (
        Family("dead_units", "block"),
        Family("dormant_units", "block"),
        Family("hidden_zeros", "block"),
    ),
    "attention": (
        Family("attention_max_logit", "block"),
        Family("attention_entropy", "block"),
    ),
    "batch_norm": (
        Family("batch_norm", None, whole=("loss_gap",)),
        Family("batch_norm_mean_distance", "attention_norm_input", "log"),
        Family("batch_norm_variance_distance", "attention_norm_input", "log"),
    ),
    "internal_covariate_shift": (
        Family("ics_l2", "block", "log", ("head",)),
        Family("ics_cosine", "block", whole=("head",)),
    ),
    "linear_cka": (Family("cka_to_init", "residual"),),
    "sliced_wasserstein": (Family("sliced_w1", "residual", "log"),),
}
"""Diagnostic to what its view shows."""
