"""Equal spending: the steps that a budget in tokens or FLOPs buys, and what runs may spend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from studies.configuration import Configuration, with_values
from studies.estimates import estimate
from studies.protocol import Budget
from studies.schema import DataConfig, ModelConfig


def tokens_per_step(configuration: Mapping[str, Any]) -> int:
    """Training tokens of an optimiser step."""
    length: int = configuration["model"]["context_length"]
    sequences: int = configuration["training"]["batch_size"]
    return sequences * length


def training_tokens(configuration: Mapping[str, Any]) -> int:
    """Training tokens of a run."""
    steps: int = configuration["training"]["max_steps"]
    return steps * tokens_per_step(configuration)


def known_vocabulary_size(data: DataConfig) -> int | None:
    """Tokens in the vocabulary, where that is known before the data is read."""
    return 256 if data.tokenizer == "bytes" else data.vocabulary_size


def with_budget(budget: Budget | None, configuration: Configuration) -> Configuration:
    """A configuration with the steps that a budget buys, at least one.

    As it is where there is no budget, or what a step costs is not known: see `check_budget`.
    """
    if budget is None:
        return configuration
    tokens = budget.tokens
    if budget.flops is not None:
        size = known_vocabulary_size(DataConfig(**configuration["data"]))
        if configuration.get("module") or size is None:
            return configuration
        model = ModelConfig(**configuration["model"])
        tokens = budget.flops / estimate(model, size).flops_per_token
    assert tokens is not None
    steps = max(1, round(tokens / tokens_per_step(configuration)))
    return with_values(configuration, {"training.max_steps": steps})
