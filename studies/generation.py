"""How text is generated from a model, and what of it a study keeps."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from studies.section import Section, Settings

MAX_NEW_TOKENS = 2**20


class Sampling(Settings):
    """How the next token is drawn from a model's logits."""

    max_new_tokens: int = Field(100, ge=1, le=MAX_NEW_TOKENS)
    """Most tokens that are generated: a full context ends a text before, and so does `<end>`."""
    temperature: float = Field(0.8, ge=0)
    """Divides the logits; 0 takes the likeliest token always."""
    top_k: int | None = Field(None, ge=1)
    """Draw among the k likeliest tokens only. Source: Fan et al. 2018."""
    top_p: float | None = Field(None, gt=0, le=1)
    """Draw among the fewest likeliest tokens that have this probability together (after `top_k`).
    Source: Holtzman et al. 2020."""
    seed: int = Field(0, ge=0, lt=2**32)
    """Seed of the draws."""


class SamplesConfig(Sampling):
    """Texts that every compared run generates when it has ended, shown side by side in the report.

    Not part of a run's identity: changing it re-runs nothing.
    """

    prompts: tuple[str, ...] | None = None
    """Texts to continue. Null is two beginnings from the held-out text, a quarter of the context
    long; an empty list generates nothing."""

    @property
    def sampling(self) -> Sampling:
        """How the texts are drawn."""
        return Sampling(**self.model_dump(include=set(Sampling.model_fields)))


class Sample(Section):
    """A text that a model went on with."""

    prompt: str
    text: str
    """What the model made of it, without the prompt."""
    tokens: int
    """Number of tokens generated."""
    ended: Literal["end", "length", "context"]
    """Whether the model ended the text itself, had as many tokens as were asked for, or no room in
    its context for more."""


class Samples(Section):
    """Texts of one model, and how they were drawn."""

    sampling: Sampling
    texts: tuple[Sample, ...]
