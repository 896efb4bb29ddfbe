"""How a model is fine-tuned once it is pre-trained, and on what."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from studies.section import Settings
from studies.tasks import Task
from studies.values import Seed, different, plain_name

TaskName = Annotated[str, AfterValidator(plain_name)]


class FinetuningSettings(Settings):
    """Settings of fine-tuning; what is not here is as in pre-training (`training`)."""

    task: str | None = None
    """The one of `tasks` that is fine-tuned on; null is each of them."""
    pretrained: bool = True
    """Whether it starts from the pre-trained weights; false starts from those that pre-training
    starts from (initial ones, or `model.weights`)."""
    learning_rate: float = Field(6.25e-5, gt=0)
    """Peak learning rate; it falls linearly to 0."""
    batch_size: int = Field(32, ge=1)
    """Examples per optimiser step."""
    epochs: int = Field(3, ge=1)
    """Times that each example is trained on."""
    warmup_fraction: float = Field(0.002, ge=0, lt=1)
    """Share of the steps over which the learning rate rises linearly."""
    auxiliary_weight: float = Field(0.5, ge=0)
    """Weight lambda of the language-model loss on the task's texts, added to the task's loss."""
    classifier_dropout: float = Field(0.1, ge=0, lt=1)
    """Dropout on what the linear head reads. Inside the model, `model.dropout` goes on."""


class FinetuningConfig(FinetuningSettings):
    """A second stage of each compared run: its model is fine-tuned on tasks, with one linear head.

    Defaults are those of GPT-1. Source: Radford et al. 2018, sections 3.2 and 4.1.
    """

    tasks: dict[TaskName, Task] = Field(default_factory=dict)
    """Tasks by name; empty is no fine-tuning. One of the names under Levels needs no more than its
    `source`."""
    seeds: Annotated[tuple[Seed, ...], AfterValidator(different)] | None = None
    """Seeds of head, order of examples and dropout: each pre-trained model is fine-tuned once with
    each, and its score is their mean. A number n stands for 0 to n-1; null is the run's own seed,
    once."""

    @property
    def settings(self) -> FinetuningSettings:
        """What may be a factor."""
        return FinetuningSettings(**self.model_dump(include=set(FinetuningSettings.model_fields)))


class Finetuning(FinetuningSettings):
    """One fine-tuning, in full."""

    task: str
    definition: Task
    seed: int
    """Of head, order of examples and dropout."""
