"""Small models for the contract tests."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_modules.gpt.model import GPT
from studies.schema import ModelConfig
from studies.vocabulary import NORMS, PLACEMENTS

VOCABULARY_SIZE = 65
CONTEXT = 12

NORM_PLACEMENTS = [
    (norm, placement)
    for norm in NORMS
    for placement in PLACEMENTS
    if (norm == "none") == (placement == "none")
]
"""Every norm in every place; without a norm, without a place."""


def small_config(**settings: object) -> ModelConfig:
    """A configuration that builds in milliseconds."""
    small = {"d_model": 32, "n_layers": 2, "n_heads": 4, "context_length": CONTEXT}
    return ModelConfig(**{**small, **settings})


def small_gpt(*, seed: int = 0, **settings: object) -> GPT:
    return GPT(small_config(**settings), VOCABULARY_SIZE, seed=seed)


def random_tokens(batch: int = 4, time: int = CONTEXT, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(VOCABULARY_SIZE, (batch, time), generator=generator)


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=dtype)
