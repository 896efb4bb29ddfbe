"""The levels that a study may name, with what each one is and where it comes from.

One row here and one entry in the registry of the same name in `lightning_modules/` make a new
level; contract tests check that the two agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from studies.diagnostics import DIAGNOSTICS, MODULE_ROLES, TAPS
from studies.presets import PRESETS
from studies.pruners import PRUNERS
from studies.registry import Level, Registry
from studies.samplers import SAMPLERS


@dataclass(frozen=True)
class Activation(Level):
    """A feed-forward non-linearity; gated ones use a second input projection."""

    gated: bool = False


@dataclass(frozen=True)
class Norm(Level):
    """A normalisation layer."""

    leak: str = "causal"
    """Leak label that the norm is known to have; pre-flight measures it all the same."""
    of_batch: bool = False
    """Whether statistics are of a batch in training, and running ones at evaluation."""
    has_gain: bool = True
    """Whether it learns a gain (and a bias) per channel where the study wants them."""
    scalars: int = 0
    """Learnt parameters besides gain and bias."""
    scales_embedding: bool = False
    """Whether the model needs a learnt scale on its embedding, sqrt(d_model) at first."""


@dataclass(frozen=True)
class Placement(Level):
    """Where norms stand in a block."""

    norms: int = 1
    """Norms of each sub-layer."""
    final_norm: bool = False
    """Whether a norm stands before the output head."""


@dataclass(frozen=True)
class Position(Level):
    """How the order of tokens enters."""

    learnt: bool = False
    """Whether there is a learnt vector per position."""


ACTIVATIONS: Registry[Activation] = Registry(
    "activation",
    {
        "relu": Activation("ReLU", "max(0, x)", "Nair & Hinton 2010", cite="nair2010rectified"),
        "sigmoid": Activation("Sigmoid", "1 / (1 + exp(-x))", uncited="a classical function"),
        "tanh": Activation("Tanh", "tanh(x)", uncited="a classical function"),
        "gelu": Activation(
            "GELU", "x Phi(x), exact", "Hendrycks & Gimpel 2016", cite="hendrycks2016gaussian"
        ),
        "gelu_tanh": Activation(
            "GELU (tanh)",
            "tanh form of GELU",
            "Hendrycks & Gimpel 2016",
            cite="hendrycks2016gaussian",
        ),
        "silu": Activation(
            "SiLU",
            "x sigmoid(x), also called Swish",
            "Ramachandran et al. 2017",
            cite="ramachandran2017searching",
        ),
        "relu2": Activation("ReLU²", "max(0, x)²", "So et al. 2021, Primer", cite="so2021primer"),
        "glu": Activation(
            "GLU", "sigmoid(Wx) * Vx", "Dauphin et al. 2017", gated=True, cite="dauphin2017language"
        ),
        "bilinear": Activation(
            "Bilinear", "Wx * Vx", "Shazeer 2020", gated=True, cite="shazeer2020glu"
        ),
        "reglu": Activation(
            "ReGLU", "ReLU(Wx) * Vx", "Shazeer 2020", gated=True, cite="shazeer2020glu"
        ),
        "geglu": Activation(
            "GEGLU", "GELU(Wx) * Vx", "Shazeer 2020", gated=True, cite="shazeer2020glu"
        ),
        "swiglu": Activation(
            "SwiGLU", "SiLU(Wx) * Vx", "Shazeer 2020", gated=True, cite="shazeer2020glu"
        ),
    },
)

NORMS: Registry[Norm] = Registry(
    "norm",
    {
        "batch": Norm(
            "BatchNorm",
            "statistics over batch and positions; the running ones at evaluation",
            "Ioffe & Szegedy 2015",
            leak="leaks_in_training",
            of_batch=True,
            cite="ioffe2015batch",
        ),
        "batch_position": Norm(
            "BatchNorm (per position)",
            "statistics over the batch at each position; the running ones at evaluation",
            "Ioffe & Szegedy 2015",
            of_batch=True,
            cite="ioffe2015batch",
        ),
        "layer": Norm(
            "LayerNorm",
            "statistics over the channels of a token",
            "Ba et al. 2016",
            cite="ba2016layer",
        ),
        "instance": Norm(
            "InstanceNorm (causal)",
            "per channel, cumulative statistics over the tokens so far",
            "Ulyanov et al. 2016",
            cite="ulyanov2016instance",
        ),
        "group": Norm(
            "GroupNorm",
            "statistics over groups of a token's channels",
            "Wu & He 2018",
            cite="wu2018group",
        ),
        "rms": Norm(
            "RMSNorm", "x / rms(x) over the channels", "Zhang & Sennrich 2019", cite="zhang2019root"
        ),
        "dyt": Norm(
            "DyT",
            "tanh(alpha x), alpha learnt",
            "Zhu et al. 2025",
            scalars=1,
            scales_embedding=True,
            cite="zhu2025transformers",
        ),
        "none": Norm("no norm", "identity", has_gain=False, uncited="it does nothing"),
    },
)

BATCH_NORMS = tuple(name for name, norm in NORMS.items() if norm.of_batch)

PLACEMENTS: Registry[Placement] = Registry(
    "placement",
    {
        "pre": Placement(
            "pre",
            "x + f(N(x)), final norm",
            "Xiong et al. 2020",
            final_norm=True,
            cite="xiong2020layer",
        ),
        "post": Placement(
            "post", "N(x + f(x)), no final norm", "Vaswani et al. 2017", cite="vaswani2017attention"
        ),
        "sandwich": Placement(
            "sandwich",
            "x + N(f(N(x))), final norm",
            "Ding et al. 2021, CogView",
            norms=2,
            final_norm=True,
            cite="ding2021cogview",
        ),
        "none": Placement(
            "no placement",
            "x + f(x): what is left when there is no norm",
            norms=0,
            uncited="it does nothing",
        ),
    },
)

POSITIONS: Registry[Position] = Registry(
    "position",
    {
        "learned": Position(
            "learned",
            "a learnt vector per position",
            "Radford et al. 2018",
            learnt=True,
            cite="radford2018improving",
        ),
        "rope": Position(
            "RoPE", "rotated queries and keys", "Su et al. 2021", cite="su2021roformer"
        ),
        "none": Position(
            "no positions",
            "order only through the causal mask",
            "Haviv et al. 2022",
            cite="haviv2022transformer",
        ),
    },
)

INITIALIZATIONS: Registry[Level] = Registry(
    "initialization",
    {
        "auto": Level(
            "auto",
            "fan_in below d_model 256, gpt2 from there on",
            uncited="it stands for another level",
        ),
        "fan_in": Level(
            "fan-in",
            "N(0, 1/fan_in), residual outputs over sqrt(2 layers); embedding and head N(0, 16/d²)",
            "LeCun et al. 1998; Radford et al. 2019",
            cite="lecun1998efficient,radford2019language",
        ),
        "gpt2": Level(
            "GPT-2",
            "N(0, .02²), residual outputs over sqrt(2 layers)",
            "Radford et al. 2019",
            cite="radford2019language",
        ),
        "gpt1": Level("GPT-1", "N(0, .02²)", "Radford et al. 2018", cite="radford2018improving"),
        "xavier": Level(
            "Xavier",
            "N(0, 2/(fan_in + fan_out)); embedding and head N(0, 16/d²)",
            "Glorot & Bengio 2010",
            cite="glorot2010understanding",
        ),
    },
)

VOCABULARIES: dict[str, Mapping[str, Level]] = {
    "preset": PRESETS,
    "model.activation": ACTIVATIONS,
    "model.norm": NORMS,
    "model.placement": PLACEMENTS,
    "model.position": POSITIONS,
    "model.initialization": INITIALIZATIONS,
    "diagnostics.enabled": DIAGNOSTICS,
    "diagnostics.every_steps": DIAGNOSTICS,
    "diagnostics.modules": MODULE_ROLES,
    "execution.tracked_taps": TAPS,
    "protocol.search.sampler": SAMPLERS,
    "protocol.pruning.pruner": PRUNERS,
}
"""Registry of the levels of each configuration key that takes a name."""


def label_of(key: str, value: object) -> str:
    """How a level is written for a reader: `label_of("model.norm", "layer")` is "LayerNorm"."""
    if key in VOCABULARIES and value in VOCABULARIES[key]:
        return VOCABULARIES[key][str(value)].label
    return "–" if value is None else str(value)
