"""How weights are drawn: a scale by role, and for each parameter a random stream of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from math import sqrt

import torch
from torch import nn

from lightning_modules.gpt.roles import Kind, Role, named_roles
from studies.equivalence import SMALL_D_MODEL
from studies.registry import Registry
from studies.schema import ModelConfig

Scale = Callable[[Role, int], float]
"""Standard deviation of a drawn parameter, from its role and the number of layers."""

GPT_STD = 0.02

SELF_LOGIT = 4.0
"""Largest logit that a token gives to itself at the start, when embedding and head are one.

With entries of size s an embedding has norm s sqrt(d), the normalised stream has norm sqrt(d), so
the logit is at most s d. At s = 1/sqrt(d) post-norm models start several nats above ln V; at
s = .02 and d = 64 the embedding drowns in the blocks' outputs, and DyT stays at the unigram loss.
"""


def _fan_in(role: Role, n_layers: int) -> float:
    if role.kind in _VOCABULARY_KINDS:
        return SELF_LOGIT / role.fan_in
    return _residual_factor(role, n_layers) / sqrt(role.fan_in)


def _gpt2(role: Role, n_layers: int) -> float:
    return GPT_STD * _residual_factor(role, n_layers)


def _gpt1(role: Role, n_layers: int) -> float:
    return GPT_STD


def _xavier(role: Role, n_layers: int) -> float:
    if role.kind in _VOCABULARY_KINDS:
        return SELF_LOGIT / role.fan_in
    return sqrt(2 / (role.fan_in + role.fan_out))


_VOCABULARY_KINDS: frozenset[Kind] = frozenset({"embedding", "head"})
"""Embedding and head start alike, so that tying them changes no scale."""


def _residual_factor(role: Role, n_layers: int) -> float:
    """Keeps the sum of 2 n_layers sub-layer outputs as large as one. Source: GPT-2."""
    return 1 / sqrt(2 * n_layers) if role.writes_residual else 1.0


INITIALIZATIONS: Registry[Scale] = Registry(
    "initialization", {"fan_in": _fan_in, "gpt2": _gpt2, "gpt1": _gpt1, "xavier": _xavier}
)


def resolve_initialization(config: ModelConfig) -> str:
    """The initialisation that is used: `auto` depends on the width."""
    if config.initialization != "auto":
        return config.initialization
    return "fan_in" if config.d_model < SMALL_D_MODEL else "gpt2"


@torch.no_grad()
def initialize(model: nn.Module, config: ModelConfig, seed: int) -> None:
    """Set every parameter of a model from its role.

    The draw of a parameter depends on the seed and its name alone, so variants share the initial
    values of the parameters that they share, whatever else they have.

    Raises:
        MissingRole: a parameter has no role.
    """
    scale = INITIALIZATIONS[resolve_initialization(config)]
    roles = named_roles(model)
    for name, parameter in model.named_parameters():
        role = roles[name]
        if parameter.is_meta:  # nor is there anything to set
            continue
        if role.constant is not None:
            parameter.fill_(role.constant)
        else:
            generator = torch.Generator().manual_seed(_stable_seed(seed, name))
            # Drawn on the CPU in single precision: the same numbers on every device.
            draw = torch.randn(
                parameter.shape, generator=generator, dtype=torch.float32, device="cpu"
            )
            parameter.copy_(draw * scale(role, config.n_layers))


def _stable_seed(seed: int, name: str) -> int:
    """A seed that is the same in every process, unlike `hash`."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return int.from_bytes(digest[:8]) >> 1
