"""What may be measured inside a model: the diagnostics, what they record, and where they look.

The diagnostics themselves are in `lightning_modules/`; contract tests hold the two together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from studies.registry import Level, Registry


@dataclass(frozen=True, kw_only=True)
class Diagnostic(Level):
    """Something that is measured inside a model while it trains."""

    cost: Literal["step", "probe", "rare"]
    """Cost class, which decides how often it looks by default."""
    places: tuple[str, ...]
    """What the curves of its families are numbered by."""
    families: tuple[str, ...]
    """Families of curves; one with a slash is a single curve of the whole model."""


TAPS: Registry[Level] = Registry(
    "tap",
    {
        "residual": Level(
            "residual stream", "before each block, and after the last one (before a final norm)"
        ),
        "attention_norm": Level("attention norm", "output of the norm that belongs to attention"),
        "attention_output": Level(
            "attention output", "what attention gives, before it is added or normalised"
        ),
        "attention_output_norm": Level(
            "attention output norm", "output of a second norm, between attention and the sum"
        ),
        "feed_forward_norm": Level(
            "feed-forward norm", "output of the norm that belongs to the feed-forward"
        ),
        "feed_forward_output": Level(
            "feed-forward output", "what the feed-forward gives, before it is added or normalised"
        ),
        "feed_forward_output_norm": Level(
            "feed-forward output norm", "output of a second norm, between feed-forward and the sum"
        ),
        "pre_activation": Level(
            "pre-activation", "input of the non-linearity (gate and value side by side, if gated)"
        ),
        "hidden": Level("hidden activation", "output of the non-linearity (the product, if gated)"),
        "final_norm": Level("final norm", "output of the norm before the head"),
    },
)
"""Where diagnostics look into a model, in the order of a block."""

MODULE_ROLES: Registry[Level] = Registry(
    "module role",
    {
        "block": Level("block", "a block of the residual stream: tap `residual`, unit of `block`"),
        "attention_norm": Level("attention norm", "tap `attention_norm`: its output"),
        "attention": Level(
            "attention",
            "tap `attention_output`: its output; attention weights, where it is torch's "
            "MultiheadAttention or has `heads(x)`: queries, keys and values (B, H, T, K)",
        ),
        "attention_output_norm": Level(
            "attention output norm", "tap `attention_output_norm`: its output"
        ),
        "feed_forward_norm": Level("feed-forward norm", "tap `feed_forward_norm`: its output"),
        "feed_forward": Level("feed-forward", "tap `feed_forward_output`: its output"),
        "feed_forward_output_norm": Level(
            "feed-forward output norm", "tap `feed_forward_output_norm`: its output"
        ),
        "activation": Level(
            "activation", "taps `pre_activation` and `hidden`: its input and its output"
        ),
        "final_norm": Level("final norm", "tap `final_norm`: its output"),
    },
)
"""What a sub-module is to diagnostics; `diagnostics.modules` says so for a module of one's own."""

BLOCK = "block"
NORM_TAPS = tuple(tap for tap in TAPS if tap.endswith("norm"))
"""Taps at the outputs of norms, whose roles have the same names."""
NORM_INPUTS = (*(f"{tap}_input" for tap in NORM_TAPS), "norm_input")
PLACES = (*TAPS, *NORM_INPUTS, BLOCK)
"""What curves of layers are numbered by, in the order of a block."""

_EVERY_TAP = tuple(TAPS)

DIAGNOSTICS: Registry[Diagnostic] = Registry(
    "diagnostic",
    {
        "gradient_norms": Diagnostic(
            "gradient norms",
            "norms of gradients before clipping, by block and kind of parameter",
            cite="xiong2020layer",
            cost="step",
            places=(BLOCK,),
            families=("gradient_norm",),
        ),
        "update_ratios": Diagnostic(
            "update ratios",
            "size of a step over size of the parameters, by block and kind",
            uncited="a ratio of norms",
            cost="probe",
            places=(BLOCK,),
            families=("update_ratio",),
        ),
        "activation_scale": Diagnostic(
            "activation scale",
            "RMS at every tap, and its ratio to init",
            uncited="a root mean square",
            cost="probe",
            places=_EVERY_TAP,
            families=("activation_rms", "activation_rms_change"),
        ),
        "activation_drift": Diagnostic(
            "activation drift",
            "normalised Bures distance to init and to the probe before, at every tap",
            cite="dowson1982frechet",
            cost="probe",
            places=_EVERY_TAP,
            families=(
                "activation_drift",
                "activation_drift_normalized",
                "activation_drift_step",
                "activation_drift_step_normalized",
            ),
        ),
        "activation_outliers": Diagnostic(
            "activation outliers",
            "kurtosis over channels and largest entry, at every tap",
            cite="he2024understanding,bondarenko2023quantizable",
            cost="probe",
            places=_EVERY_TAP,
            families=("activation_kurtosis", "activation_peak"),
        ),
        "representation_collapse": Diagnostic(
            "representation collapse",
            "how alike tokens are in the residual stream, and its effective rank",
            cite="ethayarajh2019contextual,dong2021attention,gao2017theory",
            cost="probe",
            places=("residual", "final_norm"),
            families=("token_similarity", "effective_rank"),
        ),
        "hidden_units": Diagnostic(
            "hidden units",
            "dead, dormant and saturated units of the feed-forward, and zeros",
            cite="lu2019dying,sokar2023dormant,glorot2010understanding,li2023lazy",
            cost="probe",
            places=(BLOCK,),
            families=("dead_units", "dormant_units", "saturated_units", "hidden_zeros"),
        ),
        "attention": Diagnostic(
            "attention",
            "largest logit and entropy of the weights",
            cite="dehghani2023scaling,wortsman2023small,zhai2023stabilizing",
            cost="probe",
            places=(BLOCK,),
            families=("attention_max_logit", "attention_entropy", "attention_entropy_min"),
        ),
        "batch_norm": Diagnostic(
            "batch norm",
            "distance of batch to running statistics, and what it costs",
            cite="shen2020powernorm,wang2022understanding",
            cost="probe",
            places=NORM_INPUTS,
            families=(
                "batch_norm_mean_distance",
                "batch_norm_variance_distance",
                "batch_norm/loss_gap",
            ),
        ),
        "internal_covariate_shift": Diagnostic(
            "internal covariate shift",
            "how a step of the layers below changes the gradient of a layer",
            "Santurkar et al. 2018",
            cite="santurkar2018how",
            cost="rare",
            places=(BLOCK,),
            families=("ics_l2", "ics_cosine"),
        ),
        "linear_cka": Diagnostic(
            "linear CKA",
            "similarity of the residual stream to that at init, debiased",
            cite="kornblith2019similarity,song2012feature,nguyen2021wide",
            cost="rare",
            places=("residual",),
            families=("cka_to_init",),
        ),
        "sliced_wasserstein": Diagnostic(
            "sliced Wasserstein",
            "distance to init in shape, not only in mean and variance",
            cite="rabin2012wasserstein,bonneel2015sliced",
            cost="rare",
            places=("residual",),
            families=("sliced_w1",),
        ),
    },
)
"""What a study may enable; a contract test holds it against the diagnostics themselves."""

DEFAULT_DIAGNOSTICS = tuple(name for name in DIAGNOSTICS if name != "sliced_wasserstein")

DIAGNOSTIC_OF: Mapping[str, str] = {
    family: name for name, row in DIAGNOSTICS.items() for family in row.families
}
"""Family of curves to the diagnostic that records it."""

LAYERED: Mapping[str, tuple[str, ...]] = {
    family: DIAGNOSTICS[name].places for family, name in DIAGNOSTIC_OF.items() if "/" not in family
}
"""Family of curves that are told by layer to what these are numbered by."""


def recorded_by(name: str) -> str:
    """A hint for what is no diagnostic but a family of curves, or a curve; else an empty string."""
    diagnostic = DIAGNOSTIC_OF.get(name) or DIAGNOSTIC_OF.get(name.rpartition("/")[0])
    return f"{name!r} is what {diagnostic!r} records: name that" if diagnostic else ""


def records(name: str) -> str:
    """A hint for what is no family of curves but a diagnostic; else an empty string."""
    if name not in DIAGNOSTICS:
        return ""
    return f"{name!r} is a diagnostic, which records {', '.join(DIAGNOSTICS[name].families)}"


def family_and_place(entry: str) -> tuple[str, str]:
    """The parts of `family/place`; a family alone has the place ""."""
    family, _, place = entry.rpartition("/")
    return (family, place) if family in LAYERED else (entry, "")
