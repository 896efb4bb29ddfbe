"""Exported models, held against `transformers` on random weights; nothing is downloaded."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from lightning_modules.checkpoints import TOKENIZER
from lightning_modules.data.codec import Codec
from lightning_modules.data.token_store import build_token_store
from lightning_modules.generation import generate
from lightning_modules.gpt.model import GPT
from lightning_modules.hugging_face.architectures import (
    ARCHITECTURES,
    architecture_of,
    require_architecture,
)
from lightning_modules.hugging_face.export import write_model
from studies.errors import AblationError
from studies.generation import Sampling
from studies.schema import DataConfig
from tests.lightning_modules_tests.gpt_helpers import random_tokens
from tests.lightning_modules_tests.hugging_face_models import (
    preset,
    require_reference,
    run_beside_transformers,
)

REMEDY = "Keep to GPT-2."
TEXT = "def f(x):\n    return x"

MODELS = {
    "gpt1": preset("gpt1"),
    "gpt1-relu": preset("gpt1", activation="relu", bias=False, norm_affine=False),
    "gpt2-small": preset("gpt2-small"),
    "gpt2-small-untied": preset("gpt2-small", tied_head=False, d_ff=50, norm_eps=1e-2),
    "gpt2-small-without-biases": preset("gpt2-small", bias=False, activation="relu2"),
    "llama-style": preset("llama-style"),
    "llama-style-tied": preset("llama-style", tied_head=True, activation="bilinear"),
    "llama-style-geglu": preset("llama-style", activation="geglu", norm_affine=False),
    "nanogpt-cpu": preset("nanogpt-cpu"),
}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Name to model, its codec and its folder, with what `transformers` made of it."""
    require_reference()
    home = tmp_path_factory.mktemp("exported")
    store = build_token_store(DataConfig(tokenizer="bpe", vocabulary_size=600), home / "cache")
    codec, found = Codec(store.directory / TOKENIZER), {}
    for number, (name, config) in enumerate(MODELS.items()):
        model = GPT(config, store.vocabulary_size, seed=number).eval()
        generator = torch.Generator().manual_seed(number)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
        folder = home / name
        folder.mkdir()
        architecture = require_architecture(config, REMEDY)
        write_model(model, architecture, codec, store.directory / TOKENIZER, folder)
        (folder / "text.txt").write_text(TEXT)
        save_file({"tokens": random_tokens(3, 24, seed=number)}, folder / "tokens.safetensors")
        found[name] = model, codec, folder
    run_beside_transformers("reference_logits.py", [folder for _, _, folder in found.values()])
    return found


@pytest.mark.parametrize("name", MODELS)
def test_transformers_computes_the_same(exported, name):
    model, codec, folder = exported[name]
    tokens_BT = load_file(folder / "tokens.safetensors")["tokens"]
    reference = load_file(folder / "reference.safetensors")
    with torch.no_grad():
        torch.testing.assert_close(reference["logits"], model(tokens_BT), rtol=1e-4, atol=1e-5)
    assert reference["ids"].tolist() == codec.encode(TEXT)
    prompt = tokens_BT[0, :4].tolist()
    greedy = Sampling(temperature=0, max_new_tokens=20)
    [ours] = generate(model, [prompt], greedy, context_length=24, end=None)
    theirs = reference["written"].tolist()[4:]
    ended = theirs.index(codec.end) + 1 if codec.end in theirs else len(theirs)
    assert ours.tokens[:ended] == theirs[:ended]


@pytest.mark.parametrize("name", MODELS)
def test_each_preset_is_an_architecture(name):
    expected = {"gpt1": "openai-gpt", "gpt2": "gpt2", "llama": "llama", "nanogpt": "gpt2"}
    architecture = architecture_of(MODELS[name])
    assert architecture is not None
    assert architecture.model_type == expected[name.partition("-")[0]]


@pytest.mark.parametrize(
    ("changes", "obstacle"),
    [
        ({"norm": "batch"}, "model.norm = batch"),
        ({"placement": "sandwich"}, "model.placement = sandwich"),
        ({"position": "rope"}, "model.position = rope"),
        ({"qk_norm": True}, "model.qk_norm = True"),
        ({"activation": "swiglu"}, "model.activation = swiglu"),
    ],
)
def test_what_is_no_architecture_says_what_keeps_it_from_each(changes, obstacle):
    config = preset("gpt2-small", **changes)
    assert architecture_of(config) is None
    with pytest.raises(AblationError) as error:
        require_architecture(config, REMEDY)
    *lines, remedy = str(error.value).splitlines()[1:]
    assert remedy == REMEDY
    assert len(lines) == len(ARCHITECTURES)
    assert f"GPT2LMHeadModel: {obstacle}" in lines[0]


def test_gpt1_has_one_width_of_feed_forward():
    config = preset("gpt1", d_ff=100)
    with pytest.raises(AblationError, match=r"d_ff = 100, which is not 4 d_model"):
        require_architecture(config, REMEDY)
