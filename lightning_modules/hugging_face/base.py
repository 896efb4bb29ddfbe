"""What it takes for a GPT to be an architecture of the `transformers` library, tensor by tensor."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from lightning_modules.gpt.model import GPT
from studies.schema import ModelConfig
from studies.values import Scalar


@dataclass(frozen=True)
class Entry:
    """A parameter of ours, and the tensors of theirs that it is made of."""

    ours: str
    theirs: tuple[str, ...]
    """Their rows, one below the other, are ours."""
    transposed: bool = False
    """Whether theirs maps from rows to columns."""
    absent: float | None = None
    """Value of all of theirs that has the function of our doing without; None where we never do."""
    width: int = 0
    """Entries of each of theirs where ours is absent."""


@dataclass(frozen=True)
class Architecture:
    """A causal language model of the library."""

    model_type: str
    class_name: str
    needs: Mapping[str, tuple[Scalar, ...]]
    """Key of a model's configuration to the levels that it can have."""
    activations: Mapping[str, str]
    """Ours to theirs."""
    config: Callable[[ModelConfig, str], dict[str, Any]]
    """Sizes and parts by its names, from ours and its name of the activation."""
    entries: Callable[[ModelConfig], Iterator[Entry]]
    decisive: tuple[str, ...]
    """Names in its config that change what it computes, and the shape of no tensor."""
    settled: Mapping[str, Any]
    """Further such names, of which ours is always the same."""
    buffers: tuple[str, ...]
    """Ends of names in files of weights, of what is no weight."""
    also: Callable[[ModelConfig], Iterator[str]] = field(default=lambda config: iter(()))
    """What else keeps a model from being one."""

    def obstacles(self, config: ModelConfig) -> list[str]:
        """What keeps a model from being one, as `key = value`; nothing where it is one."""
        needs = {**self.needs, "activation": tuple(self.activations)}
        wrong = {k: getattr(config, k) for k, levels in needs.items()
                 if getattr(config, k) not in levels}  # fmt: skip
        return [*(f"model.{key} = {value}" for key, value in wrong.items()), *self.also(config)]


def to_tensors(model: GPT, architecture: Architecture) -> dict[str, Tensor]:
    """The weights of a model by the library's names, on the host.

    An embedding that the head shares is there once, as the embedding.
    """
    state = model.state_dict()
    found = {}
    for entry in architecture.entries(model.config):
        if entry.ours in state:
            parts = state[entry.ours].detach().cpu().chunk(len(entry.theirs))
        else:
            assert entry.absent is not None, entry.ours
            parts = (torch.full((entry.width,), entry.absent),) * len(entry.theirs)
        for name, part in zip(entry.theirs, parts, strict=True):
            found[name] = (part.T if entry.transposed else part).clone().contiguous()
    return found
