"""The LightningModule of a run: the built-in GPT, or one of the user's own."""

from __future__ import annotations

import pytorch_lightning as pl

from lightning_modules.custom import build_custom_module
from lightning_modules.hugging_face.load import load_weights
from lightning_modules.language_model import LanguageModel
from lightning_modules.schedule import Schedule
from studies.run_spec import RunSpec


def build_module(
    spec: RunSpec, vocabulary_size: int, schedule: Schedule | None = None
) -> pl.LightningModule:
    """The module that a run trains, initialised from the run's seed or set to given weights.

    The built-in one goes by the schedule; one of the user's own has its own learning rates.
    """
    if spec.module is not None:
        return build_custom_module(spec, vocabulary_size)
    module = LanguageModel(spec, vocabulary_size, schedule)
    if spec.model.weights is not None:
        load_weights(module.model)
    return module
