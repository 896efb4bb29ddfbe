"""Weights in the layout of `transformers`, which models start from; nothing is downloaded."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from lightning_modules.gpt.model import GPT
from lightning_modules.hugging_face.architectures import architecture_of
from lightning_modules.hugging_face.base import to_tensors
from lightning_modules.hugging_face.load import check_weights, from_tensors, load_weights
from studies.content import MODEL_FILE, weights_digest
from studies.errors import AblationError
from tests.lightning_modules_tests.gpt_helpers import VOCABULARY_SIZE, random_tokens
from tests.lightning_modules_tests.hugging_face_models import (
    preset,
    require_reference,
    run_beside_transformers,
)

GPT2 = {
    "model_type": "gpt2",
    "n_layer": 2,
    "n_head": 2,
    "n_embd": 32,
    "n_positions": 24,
    "vocab_size": VOCABULARY_SIZE,
    "bos_token_id": None,
    "eos_token_id": None,
}
LLAMA = {
    "model_type": "llama",
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "hidden_size": 32,
    "intermediate_size": 85,
    "max_position_embeddings": 24,
    "rms_norm_eps": 1e-5,
    "vocab_size": VOCABULARY_SIZE,
}
MODELS = {
    "gpt2-small": (preset("gpt2-small"), GPT2),
    "gpt2-small-untied": (
        preset("gpt2-small", tied_head=False, norm_eps=1e-3),
        {**GPT2, "tie_word_embeddings": False, "layer_norm_epsilon": 1e-3},
    ),
    "gpt1": (preset("gpt1"), {**GPT2, "model_type": "openai-gpt", "afn": "gelu"}),
    "llama-style": (preset("llama-style"), LLAMA),
    "llama-style-tied": (
        preset("llama-style", tied_head=True),
        {**LLAMA, "tie_word_embeddings": True},
    ),
}
"""Our configuration and, in the words of the library, the same."""


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A folder of folders, each with what `transformers` wrote of a model with random weights."""
    require_reference()
    home = tmp_path_factory.mktemp("written")
    for number, (name, (_, theirs)) in enumerate(MODELS.items()):
        (home / name).mkdir()
        (home / name / "config.json").write_text(json.dumps(theirs))
        save_file({"tokens": random_tokens(3, 24, seed=number)}, home / name / "tokens.safetensors")
    run_beside_transformers("reference_weights.py", [home / name for name in MODELS])
    return home


def started(config, weights, vocabulary_size=VOCABULARY_SIZE):
    """A model that starts from weights, and of which they have been checked before."""
    config = config.model_copy(update={"weights": str(weights)})
    check_weights(config, vocabulary_size)
    model = GPT(config, vocabulary_size, seed=9).eval()
    load_weights(model)
    return model


@pytest.mark.parametrize("name", MODELS)
def test_weights_of_transformers_give_its_logits(written, name):
    folder = written / name
    model = started(MODELS[name][0], folder)
    tokens_BT = load_file(folder / "tokens.safetensors")["tokens"]
    expected = load_file(folder / "reference.safetensors")["logits"]
    with torch.no_grad():
        torch.testing.assert_close(model(tokens_BT), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", [name for name in MODELS if MODELS[name][0].tied_head])
def test_so_do_those_of_a_model_that_was_written_without_its_head(written, name):
    whole = load_file(written / name / MODEL_FILE)
    base = load_file(written / name / "base" / MODEL_FILE)
    assert not whole.keys() & base.keys(), "the names are others"
    one, other = (started(MODELS[name][0], written / name / part) for part in (".", "base"))
    assert_equal(one, other)


def test_weights_of_another_model_are_refused_by_its_config(written):
    for name, config in (
        ("gpt2-small", preset("gpt1")),
        ("gpt2-small", preset("gpt2-small", n_heads=4)),
        ("gpt2-small", preset("gpt2-small", activation="relu")),
        ("gpt2-small-untied", preset("gpt2-small", tied_head=False)),
        ("llama-style", preset("llama-style", norm_eps=1e-6)),
    ):
        with pytest.raises(AblationError, match=r"its config\.json has .*, and in this model"):
            started(config, written / name)


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("llama-style", "rope_theta", 500_000.0),
        ("llama-style", "rope_type", "linear"),
        ("gpt2-small", "scale_attn_by_inverse_layer_idx", True),
    ],
)
def test_what_our_models_never_do_is_refused(written, tmp_path, name, key, value):
    folder = shutil.copytree(written / name, tmp_path / name)
    config = json.loads((folder / "config.json").read_text())
    holder = config if key in config else config["rope_parameters"]
    ours, holder[key] = holder[key], value
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(AblationError, match=f"has {key} = {value}, and in this model {ours}:"):
        started(MODELS[name][0], folder)


def test_a_config_that_is_none_is_refused_and_not_read_beside_a_file(written, tmp_path):
    folder = shutil.copytree(written / "llama-style", tmp_path / "llama")
    (folder / "config.json").write_text("{")
    with pytest.raises(AblationError, match=r"model\.weights = .*llama: Expecting"):
        started(MODELS["llama-style"][0], folder)
    started(MODELS["llama-style"][0], folder / MODEL_FILE)  # nothing but the file is read


def assert_equal(one, other):
    theirs = other.state_dict()
    for name, values in one.state_dict().items():
        assert torch.equal(values, theirs[name]), name


def exported(config, seed=3):
    """A model, and its weights by the library's names."""
    model = GPT(config, VOCABULARY_SIZE, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    architecture = architecture_of(config)
    assert architecture is not None
    return model, to_tensors(model, architecture)


ROUND_TRIPS = {
    **{name: config for name, (config, _) in MODELS.items()},
    "without biases": preset("gpt2-small", bias=False),
    "without gains": preset("llama-style", norm_affine=False),
    "gated": preset("llama-style", activation="geglu", d_ff=50),
    "nanogpt-cpu": preset("nanogpt-cpu"),
}


@pytest.mark.parametrize("name", ROUND_TRIPS)
def test_what_is_exported_comes_back_whole(name, tmp_path):
    model, tensors = exported(ROUND_TRIPS[name])
    save_file(tensors, tmp_path / "w.safetensors")
    assert_equal(started(ROUND_TRIPS[name], tmp_path / "w.safetensors"), model)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_precision_are_converted(dtype, tmp_path):
    _, tensors = exported(preset("gpt2-small"))
    save_file({name: t.to(dtype) for name, t in tensors.items()}, tmp_path / "w.safetensors")
    model = started(preset("gpt2-small"), tmp_path / "w.safetensors")
    for parameter in model.parameters():
        assert parameter.dtype == torch.float32
        assert torch.equal(parameter, parameter.to(dtype).float())


@pytest.mark.parametrize("name", ["gpt2-small", "gpt1", "llama-style-tied"])
def test_what_is_no_weight_of_its_own_is_passed_over(name):
    config = MODELS[name][0]
    model, tensors = exported(config)
    embedding = next(n for n in tensors if "wte" in n or "embed_tokens" in n or "tokens_embed" in n)
    more = {
        "lm_head.weight": tensors[embedding].clone(),
        **(
            {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(8)}
            if name.startswith("llama")
            else {"h.0.attn.bias": torch.ones(1, 1, 24, 24), "h.1.attn.masked_bias": torch.ones(())}
        ),
    }
    other = GPT(config, VOCABULARY_SIZE, seed=0)
    architecture = architecture_of(config)
    from_tensors(other, architecture, tensors | more)
    assert_equal(other, model)
    more["lm_head.weight"][0, 0] += 1
    with pytest.raises(AblationError, match=r"not the token embedding: set model\.tied_head to fa"):
        from_tensors(other, architecture, tensors | more)


WTE, MLP = "transformer.wte.weight", "transformer.h.1.mlp.c_fc"
FAULTS = {
    "a name is missing": (
        lambda t: t.pop(f"{MLP}.bias"),
        r"GPT2LMHeadModel, with h\.1\.mlp\.c_fc\.bias missing: give the model the parts",
    ),
    "many are": (
        lambda t: [t.pop(name) for name in list(t) if ".h.1." in name],
        r"h\.1\.attn\.c_attn\.weight, .* and 9 more missing",
    ),
    "one has no place": (
        lambda t: t.update({"transformer.h.2.ln_1.weight": torch.ones(32)}),
        r"with h\.2\.ln_1\.weight without a place in it",
    ),
    "a head that is not tied": (
        lambda t: t.update({"score.weight": torch.ones(2, 32)}),
        r"with score\.weight without a place in it",
    ),
    "one is there twice": (
        lambda t: t.update({"wte.weight": t[WTE].clone()}),
        r"with and without a prefix: keep one of each",
    ),
    "a shape is another": (
        lambda t: t.update({f"{MLP}.weight": torch.ones(128, 32)}),
        r"h\.1\.mlp\.c_fc\.weight is \(128, 32\) and would have to be \(32, 128\): give the model",
    ),
    "the vocabulary is another": (
        lambda t: t.update({WTE: torch.ones(100, 32)}),
        r"vocabulary has 100 tokens, and the tokeniser of the study 65: give data\.tokenizer the",
    ),
    "the width is another": (
        lambda t: t.update({WTE: torch.ones(100, 16)}),
        r"wte\.weight is \(100, 16\) and would have to be \(65, 32\)",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_weights_that_do_not_fit_are_refused_by_name(fault, tmp_path):
    spoil, message = FAULTS[fault]
    _, tensors = exported(preset("gpt2-small"))
    spoil(tensors)
    save_file(tensors, tmp_path / "w.safetensors")
    with pytest.raises(AblationError, match=message) as error:
        started(preset("gpt2-small"), tmp_path / "w.safetensors")
    assert str(error.value).startswith(f"model.weights = {tmp_path / 'w.safetensors'}: ")


def test_weights_without_a_head_of_their_own_want_a_tied_one(tmp_path):
    _, tensors = exported(preset("gpt2-small"))
    save_file(tensors, tmp_path / "w.safetensors")
    with pytest.raises(AblationError, match=r"no lm_head\.weight: set model\.tied_head to true"):
        started(preset("gpt2-small", tied_head=False), tmp_path / "w.safetensors")


def test_what_a_model_does_without_must_have_no_effect(tmp_path):
    _, tensors = exported(preset("gpt2-small"))
    save_file(tensors, tmp_path / "w.safetensors")
    with pytest.raises(AblationError, match=r"no .*attention\.input\.bias.* set model\.bias and"):
        started(preset("gpt2-small", bias=False), tmp_path / "w.safetensors")


def test_a_model_that_is_no_architecture_starts_from_no_weights(tmp_path):
    _, tensors = exported(preset("gpt2-small"))
    save_file(tensors, tmp_path / "w.safetensors")
    with pytest.raises(AblationError, match=r"(?s)placement = sandwich.*weights to null for it\."):
        started(preset("gpt2-small", placement="sandwich"), tmp_path / "w.safetensors")


def test_a_file_that_is_none_is_refused(tmp_path):
    (tmp_path / "w.safetensors").write_text("nothing of the kind")
    with pytest.raises(AblationError, match=r"model\.weights = .*w\.safetensors: "):
        started(preset("gpt2-small"), tmp_path / "w.safetensors")
    with pytest.raises(AblationError, match="No such file"):
        started(preset("gpt2-small"), tmp_path / "gone.safetensors")


def test_weights_that_changed_since_they_were_planned_are_refused(tmp_path):
    _, tensors = exported(preset("gpt2-small"))
    path = tmp_path / "w.safetensors"
    save_file(tensors, path)
    config = preset("gpt2-small", weights_digest=weights_digest(path))
    started(config, path)
    tensors[WTE][0, 0] += 1
    save_file(tensors, path)
    with pytest.raises(AblationError, match="when the study was planned: restore the file, or"):
        started(config, path)


def test_every_parameter_comes_from_the_file():
    for config, _ in MODELS.values():
        one, other = (GPT(config, VOCABULARY_SIZE, seed=seed) for seed in (1, 2))
        from_tensors(one, architecture_of(config), exported(config)[1])
        from_tensors(other, architecture_of(config), exported(config)[1])
        assert_equal(one, other)
