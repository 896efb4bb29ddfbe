"""The curves that each diagnostic records: their names, and where in a model they are taken.

The diagnostics themselves are in `lightning_modules/`; a contract test holds the two together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from studies.vocabulary import TAPS

BLOCK = "block"
NORM_INPUTS = (*(f"{tap}_input" for tap in TAPS if tap.endswith("norm")), "norm_input")
PLACES = (*TAPS, *NORM_INPUTS, BLOCK)
"""What curves of layers are numbered by, in the order of a block."""

_EVERY_TAP = tuple(TAPS)


class Recorded(NamedTuple):
    """What a diagnostic records."""

    cost: Literal["step", "probe", "rare"]
    """Cost class, which decides how often it looks by default."""
    places: tuple[str, ...]
    """What the curves of its families are numbered by."""
    families: tuple[str, ...]
    """Families of curves; one with a slash is a single curve of the whole model."""


RECORDED: Mapping[str, Recorded] = {
    "gradient_norms": Recorded("step", (BLOCK,), ("gradient_norm",)),
    "update_ratios": Recorded("probe", (BLOCK,), ("update_ratio",)),
    "activation_scale": Recorded("probe", _EVERY_TAP, ("activation_rms", "activation_rms_change")),
    "activation_drift": Recorded(
        "probe", _EVERY_TAP,
        (
            "activation_drift", "activation_drift_normalized", "activation_drift_step",
            "activation_drift_step_normalized",
        ),
    ),
    "activation_outliers": Recorded(
        "probe", _EVERY_TAP, ("activation_kurtosis", "activation_peak")
    ),
    "representation_collapse": Recorded(
        "probe", ("residual", "final_norm"), ("token_similarity", "effective_rank")
    ),
    "hidden_units": Recorded(
        "probe", (BLOCK,), ("dead_units", "dormant_units", "saturated_units", "hidden_zeros")
    ),
    "attention": Recorded(
        "probe", (BLOCK,), ("attention_max_logit", "attention_entropy", "attention_entropy_min")
    ),
    "batch_norm": Recorded(
        "probe", NORM_INPUTS,
        ("batch_norm_mean_distance", "batch_norm_variance_distance", "batch_norm/loss_gap"),
    ),
    "internal_covariate_shift": Recorded("rare", (BLOCK,), ("ics_l2", "ics_cosine")),
    "linear_cka": Recorded("rare", ("residual",), ("cka_to_init",)),
    "sliced_wasserstein": Recorded("rare", ("residual",), ("sliced_w1",)),
}  # fmt: skip
"""By the names of `studies.vocabulary.DIAGNOSTICS`."""

DIAGNOSTIC_OF: Mapping[str, str] = {
    family: name for name, recorded in RECORDED.items() for family in recorded.families
}
"""Family of curves to the diagnostic that records it."""

LAYERED: Mapping[str, tuple[str, ...]] = {
    family: RECORDED[name].places for family, name in DIAGNOSTIC_OF.items() if "/" not in family
}
"""Family of curves that are told by layer to what these are numbered by."""


def recorded_by(name: str) -> str:
    """A hint for what is no diagnostic but a family of curves, or a curve; else an empty string."""
    diagnostic = DIAGNOSTIC_OF.get(name) or DIAGNOSTIC_OF.get(name.rpartition("/")[0])
    return f"{name!r} is what {diagnostic!r} records: name that" if diagnostic else ""


def records(name: str) -> str:
    """A hint for what is no family of curves but a diagnostic; else an empty string."""
    if name not in RECORDED:
        return ""
    return f"{name!r} is a diagnostic, which records {', '.join(RECORDED[name].families)}"


def family_and_place(entry: str) -> tuple[str, str]:
    """The parts of `family/place`; a family alone has the place ""."""
    family, _, place = entry.rpartition("/")
    return (family, place) if family in LAYERED else (entry, "")
