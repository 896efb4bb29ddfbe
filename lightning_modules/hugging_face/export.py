"""Writing a trained GPT as a folder that `transformers` loads."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from lightning_modules.checkpoints import TOKENIZER
from lightning_modules.data.codec import Codec
from lightning_modules.gpt.model import GPT
from lightning_modules.hugging_face.base import Architecture, to_tensors
from studies.content import MODEL_FILE
from studies.schema import ModelConfig


def write_model(
    model: GPT, architecture: Architecture, codec: Codec, tokenizer: Path, folder: Path
) -> None:
    """Write config, weights and tokeniser.

    Args:
        model: the trained model.
        architecture: what it is, as `require_architecture` says.
        codec: its tokeniser.
        tokenizer: the file that this was saved as.
        folder: where they go; it exists.
    """
    tensors, weights = to_tensors(model, architecture), folder / MODEL_FILE
    save_file(tensors, str(weights), metadata={"format": "pt"})
    dtype = str(next(iter(tensors.values())).dtype).removeprefix("torch.")
    _write(folder / "config.json", _config(model, architecture, codec, dtype))
    shutil.copyfile(tokenizer, folder / TOKENIZER)
    shutil.copymode(folder / TOKENIZER, weights)  # the library writes for its user alone
    _write(folder / "tokenizer_config.json", _tokenizer_config(model.config, codec))


def _config(model: GPT, architecture: Architecture, codec: Codec, dtype: str) -> dict[str, Any]:
    config = model.config
    return {
        "architectures": [architecture.class_name],
        "model_type": architecture.model_type,
        "dtype": dtype,
        "vocab_size": model.vocabulary_size,
        "tie_word_embeddings": config.tied_head,
        "bos_token_id": codec.start,
        "eos_token_id": codec.end,
        "initializer_range": 0.02,
        **architecture.config(config, architecture.activations[config.activation]),
    }


def _tokenizer_config(config: ModelConfig, codec: Codec) -> dict[str, Any]:
    names = {"bos_token": codec.start, "eos_token": codec.end}
    special = {key: codec.decode([number]) for key, number in names.items() if number is not None}
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": config.context_length,
        "clean_up_tokenization_spaces": False,
        **special,
    }


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
