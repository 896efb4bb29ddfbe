"""Equal spending: the steps that a budget buys, and what runs may spend."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from studies.configuration import Configuration, with_values
from studies.content import distinct_characters
from studies.estimates import estimate
from studies.protocol import Budget
from studies.schema import DataConfig, ModelConfig

MOST_STEPS = 10**9
"""Bound on the steps of a run of minutes; at a thousand steps a second it takes eleven days."""


def tokens_per_step(configuration: Mapping[str, Any]) -> int:
    """Training tokens of an optimiser step."""
    length: int = configuration["model"]["context_length"]
    sequences: int = configuration["training"]["batch_size"]
    return sequences * length


def training_tokens(configuration: Mapping[str, Any]) -> int | None:
    """Training tokens of a run; None for a run of minutes, which tells them when it has ended."""
    training = configuration["training"]
    if training.get("max_minutes") is not None:
        return None
    steps: int = training["max_steps"]
    return steps * tokens_per_step(configuration)


def seen_tokens(configuration: Mapping[str, Any], steps: Iterable[float]) -> float | None:
    """Training tokens of a run; of runs of minutes the mean, by the steps that they made."""
    planned, made = training_tokens(configuration), list(steps)
    if planned is not None:
        return planned
    return math.fsum(made) / len(made) * tokens_per_step(configuration) if made else None


def length_text(configurations: Iterable[Mapping[str, Any]]) -> str:
    """How long runs are: "400 steps", "1,000 to 20,000 steps", "5 minutes"."""
    training = [configuration["training"] for configuration in configurations]
    minutes = training[0].get("max_minutes")
    if minutes is not None:
        return f"{minutes:g} {'minute' if minutes == 1 else 'minutes'}"
    steps = [one["max_steps"] for one in training]
    ends = dict.fromkeys((min(steps), max(steps)))
    return " to ".join(f"{n:,}" if n > 9999 else str(n) for n in ends) + " steps"


def known_vocabulary_size(data: DataConfig) -> int | None:
    """Tokens in the vocabulary, where that is known before the data is read.

    BPE has the size that was asked for, or it is an error; where none was, the text may be too
    short for the usual one. Characters are counted in a text file that is read for its digest.
    """
    if data.tokenizer == "characters":
        return distinct_characters(Path(data.corpus))
    return {"bytes": 256, "bpe": data.vocabulary_size}.get(data.tokenizer)


def step_cost(budget: Budget, configuration: Configuration) -> float | None:
    """What a step costs in the unit of a budget in tokens or FLOPs; None where it is not known."""
    tokens = tokens_per_step(configuration)
    if budget.flops is None:
        return tokens
    size = known_vocabulary_size(DataConfig(**configuration["data"]))
    if configuration.get("module") or size is None:
        return None
    return tokens * estimate(ModelConfig(**configuration["model"]), size).flops_per_token


def with_budget(budget: Budget | None, configuration: Configuration) -> Configuration:
    """A configuration with the steps that a budget buys, at least one, or with its minutes.

    As it is where there is no budget, or what a step costs is not known: see `check_costs`.
    """
    if budget is None:
        return configuration
    if budget.minutes is not None:
        timed = {"training.max_minutes": budget.minutes, "training.max_steps": MOST_STEPS}
        return with_values(configuration, timed)
    amount, cost = budget.tokens or budget.flops, step_cost(budget, configuration)
    if amount is None or cost is None:
        return configuration
    return with_values(configuration, {"training.max_steps": max(1, round(amount / cost))})


def early_text(configurations: Iterable[Mapping[str, Mapping[str, Any]]]) -> str:
    """When the early loss is measured: "at step 50", or each variant at a share of its own."""
    training = [configuration["training"] for configuration in configurations]
    shares = sorted({one["early_step_fraction"] for one in training})
    if any(one.get("max_minutes") is not None for one in training):
        return f"after {shares[0]:.3g} of the minutes"
    steps = sorted({max(1, round(o["early_step_fraction"] * o["max_steps"])) for o in training})
    if len(steps) == 1:
        return f"at step {steps[0]}"
    return f"at step {steps[0]} to {steps[-1]}, {shares[0]:.3g} of the steps of each variant"
