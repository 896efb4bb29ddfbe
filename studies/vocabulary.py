"""The levels that a study may name, with what each one is and where it comes from.

One row here and one entry in the registry of the same name in `lightning_modules/` make a new
level; contract tests check that the two agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from studies.registry import Registry


@dataclass(frozen=True)
class Level:
    """A named choice of a configuration key."""

    label: str
    """How the level is written in tables and figures."""
    summary: str
    """Formula or definition, in one line."""
    source: str = ""
    """Paper that introduced it."""


@dataclass(frozen=True)
class Activation(Level):
    """A feed-forward non-linearity; gated ones use a second input projection."""

    gated: bool = False


@dataclass(frozen=True)
class Norm(Level):
    """A normalisation layer."""

    leak: str = "causal"
    """Leak label that the norm is known to have; pre-flight measures it all the same."""
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
        "relu": Activation("ReLU", "max(0, x)", "Nair & Hinton 2010"),
        "sigmoid": Activation("Sigmoid", "1 / (1 + exp(-x))"),
        "tanh": Activation("Tanh", "tanh(x)"),
        "gelu": Activation("GELU", "x Phi(x), exact", "Hendrycks & Gimpel 2016"),
        "gelu_tanh": Activation("GELU (tanh)", "tanh form of GELU", "Hendrycks & Gimpel 2016"),
        "silu": Activation("SiLU", "x sigmoid(x), also called Swish", "Ramachandran et al. 2017"),
        "relu2": Activation("ReLU²", "max(0, x)²", "So et al. 2021, Primer"),
        "glu": Activation("GLU", "sigmoid(Wx) * Vx", "Dauphin et al. 2017", gated=True),
        "bilinear": Activation("Bilinear", "Wx * Vx", "Shazeer 2020", gated=True),
        "reglu": Activation("ReGLU", "ReLU(Wx) * Vx", "Shazeer 2020", gated=True),
        "geglu": Activation("GEGLU", "GELU(Wx) * Vx", "Shazeer 2020", gated=True),
        "swiglu": Activation("SwiGLU", "SiLU(Wx) * Vx", "Shazeer 2020", gated=True),
    },
)

NORMS: Registry[Norm] = Registry(
    "norm",
    {
        "batch": Norm(
            "BatchNorm",
            "statistics over batch and time; the running ones at evaluation",
            "Ioffe & Szegedy 2015",
            leak="leaks_in_training",
        ),
        "batch_position": Norm(
            "BatchNorm (per position)",
            "statistics over the batch at each position; the running ones at evaluation",
            "Ioffe & Szegedy 2015",
        ),
        "layer": Norm("LayerNorm", "statistics over the channels of a token", "Ba et al. 2016"),
        "instance": Norm(
            "InstanceNorm (causal)",
            "per channel, cumulative statistics over the tokens so far",
            "Ulyanov et al. 2016",
        ),
        "group": Norm("GroupNorm", "statistics over groups of a token's channels", "Wu & He 2018"),
        "rms": Norm("RMSNorm", "x / rms(x) over the channels", "Zhang & Sennrich 2019"),
        "dyt": Norm(
            "DyT",
            "tanh(alpha x), alpha learnt",
            "Zhu et al. 2025",
            scalars=1,
            scales_embedding=True,
        ),
        "none": Norm("no norm", "identity", has_gain=False),
    },
)

PLACEMENTS: Registry[Placement] = Registry(
    "placement",
    {
        "pre": Placement("pre", "x + f(N(x)), final norm", "Xiong et al. 2020", final_norm=True),
        "post": Placement("post", "N(x + f(x)), no final norm", "Vaswani et al. 2017"),
        "sandwich": Placement(
            "sandwich",
            "x + N(f(N(x))), final norm",
            "Ding et al. 2021, CogView",
            norms=2,
            final_norm=True,
        ),
        "none": Placement("no placement", "x + f(x): what is left when there is no norm", norms=0),
    },
)

POSITIONS: Registry[Position] = Registry(
    "position",
    {
        "learned": Position(
            "learned", "a learnt vector per position", "Radford et al. 2018", learnt=True
        ),
        "rope": Position("RoPE", "rotated queries and keys", "Su et al. 2021"),
        "none": Position("no positions", "order only through the causal mask"),
    },
)

INITIALIZATIONS: Registry[Level] = Registry(
    "initialization",
    {
        "auto": Level("auto", "fan_in below d_model 256, gpt2 from there on"),
        "fan_in": Level(
            "fan-in",
            "N(0, 1/fan_in), residual outputs over sqrt(2 layers); embedding and head N(0, 16/d²)",
        ),
        "gpt2": Level(
            "GPT-2", "N(0, .02²), residual outputs over sqrt(2 layers)", "Radford et al. 2019"
        ),
        "xavier": Level(
            "Xavier",
            "N(0, 2/(fan_in + fan_out)); embedding and head N(0, 16/d²)",
            "Glorot & Bengio 2010",
        ),
    },
)

CORPORA: Registry[Level] = Registry(
    "corpus",
    {
        "python-docs": Level(
            "Python help topics", "0.5 MB of English prose, from `pydoc_data.topics`"
        ),
        "python-stdlib": Level(
            "Python standard library", "source code of the running interpreter's library"
        ),
    },
)

TOKENIZERS: Registry[Level] = Registry(
    "tokenizer",
    {
        "bytes": Level("bytes", "one token per UTF-8 byte, 256 in all"),
        "characters": Level("characters", "one token per distinct character of the corpus"),
        "bpe": Level(
            "BPE", "byte-level byte-pair encoding, trained on the training split", "Sennrich 2016"
        ),
    },
)

DIAGNOSTICS: Registry[Level] = Registry(
    "diagnostic",
    {
        "gradient_norms": Level(
            "gradient norms", "norms of gradients before clipping, by block and kind of parameter"
        ),
        "update_ratios": Level(
            "update ratios", "size of a step over size of the parameters, by block and kind"
        ),
        "activation_scale": Level("activation scale", "RMS at every tap, and its ratio to init"),
        "activation_drift": Level(
            "activation drift",
            "normalised Bures distance to init and to the probe before, at every tap",
        ),
        "activation_outliers": Level(
            "activation outliers", "kurtosis over channels and largest entry, at every tap"
        ),
        "representation_collapse": Level(
            "representation collapse",
            "how alike tokens are in the residual stream, and its effective rank",
        ),
        "hidden_units": Level(
            "hidden units", "dead, dormant and saturated units of the feed-forward, and zeros"
        ),
        "attention": Level("attention", "largest logit and entropy of the weights"),
        "batch_norm": Level(
            "batch norm", "distance of batch to running statistics, and what it costs"
        ),
        "internal_covariate_shift": Level(
            "internal covariate shift",
            "how a step of the layers below changes the gradient of a layer",
            "Santurkar et al. 2018",
        ),
        "linear_cka": Level(
            "linear CKA", "similarity of the residual stream to that at init, debiased"
        ),
        "sliced_wasserstein": Level(
            "sliced Wasserstein", "distance to init in shape, not only in mean and variance"
        ),
    },
)

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
            "tap `attention_output`: its output; attention weights, where the module has "
            "`heads(x)` that returns queries, keys and values (B, H, T, K)",
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

VOCABULARIES: dict[str, Mapping[str, Level]] = {
    "model.activation": ACTIVATIONS,
    "model.norm": NORMS,
    "model.placement": PLACEMENTS,
    "model.position": POSITIONS,
    "model.initialization": INITIALIZATIONS,
    "diagnostics.enabled": DIAGNOSTICS,
    "diagnostics.every_steps": DIAGNOSTICS,
    "diagnostics.modules": MODULE_ROLES,
    "execution.tracked_taps": TAPS,
}
"""Registry of the levels of each configuration key that takes a name."""


def label_of(key: str, value: object) -> str:
    """How a level is written for a reader: `label_of("model.norm", "layer")` is "LayerNorm"."""
    if key in VOCABULARIES and value in VOCABULARIES[key]:
        return VOCABULARIES[key][str(value)].label
    return "–" if value is None else str(value)
