"""Runs that start from weights in the layout of `transformers`."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from lightning_modules.checks import check_variant
from lightning_modules.data.token_store import build_token_store
from lightning_modules.gpt.model import GPT
from lightning_modules.hugging_face.architectures import architecture_of
from lightning_modules.hugging_face.base import to_tensors
from lightning_modules.keepsakes import load_trained, save_weights
from lightning_modules.language_model import next_token_loss
from lightning_modules.modules import build_module
from lightning_modules.stream import fixed_batches
from lightning_modules.training import RunInterrupted
from studies.content import weights_digest
from studies.metrics import FINAL_LOSS, INITIAL_LOSS
from tests.lightning_modules_tests.tiny_runs import tiny_spec, train, write_text


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_text(tmp_path_factory.mktemp("corpus") / "text.txt")


@pytest.fixture
def given(corpus, tmp_path):
    """A file of weights, and the model that has them."""
    spec = tiny_spec(corpus)
    store = build_token_store(spec.data, corpus.parent / "cache")
    model = GPT(spec.model, store.vocabulary_size, seed=7).eval()
    with torch.no_grad():
        model.token_embedding.weight *= 1.5  # no initialisation gives such a loss
    path = tmp_path / "given.safetensors"
    save_file(to_tensors(model, architecture_of(spec.model)), path)
    return path, model, store


def spec_from(corpus, path, **settings):
    model = {"weights": str(path), "weights_digest": weights_digest(path)}
    return tiny_spec(corpus, **{**settings, "model": {**model, **settings.get("model", {})}})


def test_a_run_starts_at_the_loss_of_its_weights_whatever_its_seed(corpus, given, tmp_path):
    path, model, store = given
    spec = spec_from(corpus, path)
    batches = fixed_batches(store, spec).evaluation_BT
    with torch.no_grad():
        mean = sum(float(next_token_loss(model, batch)) * len(batch) for batch in batches)
    first, _ = train(spec, tmp_path / "0")
    second, _ = train(spec_from(corpus, path, seed=1), tmp_path / "1")
    drawn, _ = train(tiny_spec(corpus), tmp_path / "drawn")
    initial = first.summary[INITIAL_LOSS]
    assert initial == pytest.approx(mean / sum(map(len, batches)), rel=1e-6)
    assert second.summary[INITIAL_LOSS] == initial
    assert second.summary[FINAL_LOSS] != first.summary[FINAL_LOSS], "the data are others"
    assert initial > drawn.summary[INITIAL_LOSS] + 0.1
    told = f"weights given.safetensors (digest {weights_digest(path)})"
    assert first.facts["initialization"] == told
    assert drawn.facts["initialization"] == "fan_in"


def test_a_run_from_weights_that_is_resumed_is_that_of_one_that_was_not(corpus, given, tmp_path):
    spec = spec_from(corpus, given[0], model={"dropout": 0.1})
    whole, rows = train(spec, tmp_path / "whole")
    answers = iter([False] * 6 + [True])
    with pytest.raises(RunInterrupted):
        train(spec, tmp_path / "first", should_stop=lambda: next(answers))
    checkpoint = tmp_path / "first" / "step-000000007.ckpt"
    resumed, rest = train(spec, tmp_path / "second", resume_from=checkpoint)
    assert rest == {step: row for step, row in rows.items() if step > 7}
    assert resumed.digests == whole.digests


def test_what_a_run_keeps_is_read_without_the_weights_that_it_started_from(corpus, given, tmp_path):
    path, model, store = given
    spec = spec_from(corpus, path)
    module = build_module(spec, store.vocabulary_size)
    save_weights(module, store, tmp_path)
    path.unlink()
    trained = load_trained(spec, tmp_path)
    assert trained.spec == spec
    for name, values in model.state_dict().items():
        assert torch.equal(trained.module.model.state_dict()[name], values)


def test_preflight_holds_weights_against_the_whole_model(corpus, given, tmp_path):
    path, _, store = given
    size = store.vocabulary_size
    [problem] = check_variant(tiny_spec(corpus), vocabulary_size=size).problems
    assert "choose another initialization" in problem, "which here would be no help"
    assert check_variant(spec_from(corpus, path), vocabulary_size=size).problems == ()
    deep = spec_from(corpus, path, model={"n_layers": 3})
    [problem] = check_variant(deep, vocabulary_size=size).problems
    assert "h.2.attn.c_attn.weight, " in problem
    [problem] = check_variant(spec_from(corpus, path), vocabulary_size=size + 1).problems
    assert "give data.tokenizer the tokenizer.json of the weights" in problem
    tensors = load_file(path)
    tensors["transformer.h.0.ln_1.bias"] += 1
    save_file(tensors, path)
    [problem] = check_variant(spec_from(corpus, path), vocabulary_size=size).problems
    assert "set model.bias and model.norm_affine to true" in problem
