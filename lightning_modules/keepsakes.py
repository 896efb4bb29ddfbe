"""What stays of a trained model: its weights with their tokeniser, and texts that it generates."""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytorch_lightning as pl
from safetensors import SafetensorError
from safetensors.torch import load_model, save_model
from torch import nn

from lightning_modules.checkpoints import TOKENIZER, WEIGHTS
from lightning_modules.data.codec import Codec
from lightning_modules.data.token_store import TokenStore
from lightning_modules.generation import check_prompt, generate
from lightning_modules.language_model import LanguageModel
from lightning_modules.modules import build_module
from studies.errors import AblationError
from studies.files import replacing
from studies.generation import Sample, Samples, SamplesConfig, Sampling
from studies.run_spec import RunSpec

log = logging.getLogger(__name__)

_SYSTEM_ERROR = re.compile(r"os error (\d+)")

BEGINNINGS = 2
"""Texts that are gone on with where a study gives no prompts."""


@dataclass(frozen=True)
class Keepsakes:
    """What is wanted of a run that completes."""

    weights: bool = False
    samples: SamplesConfig | None = None


class Trained(NamedTuple):
    """A model as its run left it."""

    module: pl.LightningModule
    codec: Codec
    spec: RunSpec


def save_weights(module: nn.Module, store: TokenStore, directory: Path) -> None:
    """Write parameters and buffers, and the tokeniser beside them.

    Raises:
        OSError: the disk refuses.
    """
    with replacing(directory / TOKENIZER) as temporary:
        shutil.copyfile(store.directory / TOKENIZER, temporary)
    with replacing(directory / WEIGHTS) as temporary:
        try:
            save_model(module, str(temporary))
        except SafetensorError as error:
            code = _SYSTEM_ERROR.search(str(error))
            raise OSError(int(code[1]) if code else 0, str(error)) from error
        # The library writes for its user alone, whatever the umask says.
        shutil.copymode(directory / TOKENIZER, temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())


def load_trained(spec: RunSpec, directory: Path) -> Trained:
    """The module of a run with the weights that were kept.

    Raises:
        AblationError: the files cannot be read, or are not of this run's model.
    """
    codec = Codec(directory / TOKENIZER)
    drawn = spec.model_copy(update={"model": spec.model.model_copy(update={"weights": None})})
    module = build_module(drawn, codec.vocabulary_size)
    try:
        load_model(module, str(directory / WEIGHTS))
    except Exception as error:  # torch and safetensors have no base class in common
        raise AblationError(
            f"{directory / WEIGHTS} does not fit the model of its run ({error}). Train the run "
            "again: move its folder away, and `ablate run` its study"
        ) from error
    return Trained(module, codec, spec)


def draw_samples(
    trained: Trained, prompts: Sequence[Sequence[int]], sampling: Sampling
) -> tuple[Sample, ...]:
    """Go on with prompts.

    Raises:
        AblationError: a prompt is empty, or fills the context.
    """
    module, codec, spec = trained
    length = spec.model.context_length
    found = generate(
        module.model if isinstance(module, LanguageModel) else module,
        prompts,
        sampling,
        context_length=length,
        end=codec.end,
    )
    samples = []
    for prompt, continuation in zip(prompts, found, strict=True):
        tokens = len(continuation.tokens)
        full = "context" if len(prompt) + tokens == length else "length"
        samples.append(
            Sample(
                prompt=codec.decode(prompt),
                text=codec.decode(continuation.tokens),
                tokens=tokens,
                ended="end" if continuation.ended else full,
            )
        )
    return tuple(samples)


def samples_of_run(
    module: pl.LightningModule, spec: RunSpec, store: TokenStore, wanted: SamplesConfig
) -> Samples | None:
    """The texts that a study wants of each run; None, with a warning, where that fails."""
    trained = Trained(module, Codec(store.directory / TOKENIZER), spec)
    try:
        texts = draw_samples(trained, study_prompts(spec, store, wanted), wanted.sampling)
    except Exception as error:  # the model is trained: nothing that follows may spoil that
        log.warning("no sample is generated: %s", error)
        return None
    return Samples(sampling=wanted.sampling, texts=texts) if texts else None


def study_prompts(spec: RunSpec, store: TokenStore, wanted: SamplesConfig) -> list[list[int]]:
    """The prompts of a study in the tokens of one of its runs.

    Raises:
        AblationError: a prompt has no token, unknown ones, or fills the context.
    """
    length = spec.model.context_length
    if wanted.prompts is not None:
        codec = Codec(store.directory / TOKENIZER)
        prompts = [codec.encode(prompt) for prompt in wanted.prompts]
    else:
        starts = [len(store.validation) * number // BEGINNINGS for number in range(BEGINNINGS)]
        prompts = [store.validation[s : s + max(length // 4, 1)].tolist() for s in starts]
    for prompt in prompts:
        check_prompt(prompt, length)
    return prompts
