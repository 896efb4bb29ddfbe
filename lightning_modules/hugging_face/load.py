"""Starting a GPT from weights in the layout of the `transformers` library."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from lightning_modules.gpt.model import GPT
from lightning_modules.hugging_face.architectures import require_architecture
from lightning_modules.hugging_face.base import Architecture, Entry
from studies.content import weights_digest, weights_file
from studies.errors import AblationError
from studies.schema import ModelConfig

EMBEDDING, HEAD = "token_embedding.weight", "lm_head.weight"
"""Our name of the one and their name of the other, which a file may hold though they are tied."""
MOST_NAMED = 3
"""Tensors that an error names; of more, the first ones and their number."""

_PREFIXES = ("transformer.", "model.")
"""What the names of a model without its head lack."""


def check_weights(config: ModelConfig, vocabulary_size: int) -> None:
    """Hold the weights that a model starts from against its full size; takes next to no memory.

    Raises:
        AblationError: they do not fit.
    """
    with torch.device("meta"):
        model = GPT(config, vocabulary_size, seed=0)
    load_weights(model)


def load_weights(model: GPT) -> None:
    """Set a model to the weights that its configuration names; one on the meta device stays so.

    Raises:
        AblationError: they cannot be read, are not those that the study was planned with, or do
            not fit.
    """
    given, pinned = model.config.weights, model.config.weights_digest
    assert given is not None
    path = Path(given)
    try:
        if pinned not in (None, found := weights_digest(path)):
            raise AblationError(
                f"the digest is {found!r}, and was {pinned!r} when the study was planned: restore "
                "the file, or plan the study again"
            )
        architecture = require_architecture(model.config, "Set model.weights to null for it.")
        if path.is_dir():
            _check_config(path / "config.json", architecture, model.config)
        from_tensors(model, architecture, load_file(weights_file(path)))
    except (AblationError, OSError, ValueError, SafetensorError) as error:
        raise AblationError(f"model.weights = {given}: {error}") from error


@torch.no_grad()
def from_tensors(model: GPT, architecture: Architecture, tensors: Mapping[str, Tensor]) -> None:
    """Set the weights of a model by those of the library: the inverse of `to_tensors`.

    Raises:
        AblationError: one is missing, has another shape, or has no place in the model.
    """
    state = model.state_dict()
    entries = list(architecture.entries(model.config))
    weights = {n: t for n, t in tensors.items() if not n.endswith(architecture.buffers)}
    found = {_bare(name): tensor for name, tensor in weights.items()}
    if len(found) < len(weights):
        raise AblationError("tensors are there with and without a prefix: keep one of each")
    _check_names(architecture, entries, found, is_tied=model.config.tied_head)
    _check_shapes(entries, found, state)
    for entry in entries:
        parts = [found[_bare(name)] for name in entry.theirs]
        if entry.ours not in state:
            _check_absent(entry, parts)
        elif not state[entry.ours].is_meta:
            whole = torch.cat([part.T if entry.transposed else part for part in parts])
            state[entry.ours].copy_(whole)


def _bare(name: str) -> str:
    """A name as a model without its head has it."""
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return name


def _check_config(path: Path, architecture: Architecture, config: ModelConfig) -> None:
    """Hold what no shape tells against the file that the library wrote beside the weights.

    Raises:
        AblationError: the library would compute something else.
    """
    if not path.is_file():
        return
    theirs: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    theirs |= theirs.get("rope_parameters") or {}
    ours = architecture.config(config, architecture.activations[config.activation])
    expected = {
        "model_type": architecture.model_type,
        **{key: ours[key] for key in architecture.decisive},
        **architecture.settled,
    }
    wrong = [
        f"{key} = {theirs[key]}, and in this model {value}"
        for key, value in expected.items()
        if theirs.get(key) not in (None, value)
    ]
    if wrong:
        raise AblationError(
            f"its {path.name} has {'; '.join(wrong)}: give the model the parts of the weights"
        )


def _check_names(
    architecture: Architecture, entries: Sequence[Entry], found: dict[str, Tensor], *, is_tied: bool
) -> None:
    """Every tensor has its place, and the other way round; a second copy of a tied one is dropped.

    Raises:
        AblationError: naming those of which that is not so.
    """
    embedding = next(_bare(e.theirs[0]) for e in entries if e.ours == EMBEDDING)
    second = found.pop(HEAD) if is_tied and HEAD in found and embedding in found else None
    if second is not None and not torch.equal(second, found[embedding]):
        raise AblationError(f"{HEAD} is not the token embedding: set model.tied_head to false")
    wanted = [_bare(name) for entry in entries for name in entry.theirs]
    missing = [name for name in wanted if name not in found]
    strange = [name for name in found if name not in set(wanted)]
    if missing == [HEAD]:
        raise AblationError(f"there is no {HEAD}: set model.tied_head to true")
    if missing or strange:
        said = [f"{_listed(missing)} missing"] if missing else []
        said += [f"{_listed(strange)} without a place in it"] if strange else []
        raise AblationError(
            f"they are not those of this {architecture.class_name}, with {' and '.join(said)}: "
            "give the model the parts and sizes of the weights"
        )


def _listed(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _check_shapes(
    entries: Sequence[Entry], found: Mapping[str, Tensor], state: Mapping[str, Tensor]
) -> None:
    """Each tensor is as large as its part of ours.

    Raises:
        AblationError: naming those that are not.
    """
    wrong = []
    for entry in entries:
        for name in map(_bare, entry.theirs):
            shape, wanted = tuple(found[name].shape), _wanted_shape(entry, state)
            if entry.ours == EMBEDDING and shape[:1] != wanted[:1] and shape[1:] == wanted[1:]:
                raise AblationError(
                    f"their vocabulary has {shape[0]} tokens, and the tokeniser of the study "
                    f"{wanted[0]}: give data.tokenizer the tokenizer.json of the weights"
                )
            if shape != wanted:
                wrong.append(f"{name} is {shape} and would have to be {wanted}")
    if wrong:
        raise AblationError(f"{_listed(wrong)}: give the model the sizes of the weights")


def _wanted_shape(entry: Entry, state: Mapping[str, Tensor]) -> tuple[int, ...]:
    """Shape of each of the tensors that a parameter of ours is made of."""
    if entry.ours not in state:
        return (entry.width,)
    rows, *rest = state[entry.ours].shape
    shape = (rows // len(entry.theirs), *rest)
    return shape[::-1] if entry.transposed else shape


def _check_absent(entry: Entry, parts: Sequence[Tensor]) -> None:
    """What the model does without has no effect.

    Raises:
        AblationError: it has one.
    """
    assert entry.absent is not None, entry.ours
    if any(bool(part.ne(entry.absent).any()) for part in parts):
        raise AblationError(
            f"the model has no {entry.ours}, and {', '.join(entry.theirs)} is not {entry.absent:g} "
            "throughout: set model.bias and model.norm_affine to true"
        )
