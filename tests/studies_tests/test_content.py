import os

import pytest

import studies.content
from studies.errors import AblationError
from tests.studies_tests.helpers import plan_of


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("to be or not to be\n")
    return path


def key_of(path, **data):
    return plan_of(data={"corpus": str(path), **data}, seeds=[0]).runs[0].run_key


def test_a_changed_text_is_another_run_even_at_the_same_size(text):
    before = key_of(text)
    text.write_text("to be or not to me\n")
    os.utime(text, ns=(1, 1))
    assert key_of(text) != before


def test_a_moved_text_is_the_same_run(text, tmp_path):
    before = key_of(text)
    (tmp_path / "elsewhere").mkdir()
    assert key_of(text.rename(tmp_path / "elsewhere" / "text.txt")) == before


def test_a_folder_counts_every_file_and_its_name(text, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    text.rename(folder / "a.txt")
    keys = [key_of(folder)]
    (folder / "b.txt").write_text("more\n")
    keys.append(key_of(folder))
    (folder / "b.txt").rename(folder / "c.txt")
    keys.append(key_of(folder))
    assert len(set(keys)) == 3


def test_a_tokenizer_file_counts_too(text, tmp_path):
    saved = tmp_path / "tokenizer.json"
    saved.write_text("{}")
    before = key_of(text, tokenizer=str(saved))
    saved.write_text("{ }")
    assert key_of(text, tokenizer=str(saved)) != before


def test_a_pinned_digest_refuses_another_text(text):
    digest = studies.content.content_digest(text)
    assert key_of(text, corpus_digest=digest) == key_of(text)
    text.write_text("something else\n")
    with pytest.raises(AblationError, match=f"corpus_digest = '{digest}'.*content changed"):
        key_of(text, corpus_digest=digest)


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "gpt2.safetensors"
    path.write_text("weights of GPT-2")
    return path


def key_from(weights, **model):
    return plan_of(model={"weights": str(weights), **model}, seeds=[0]).runs[0].run_key


def test_changed_weights_are_another_run_however_large_they_are(weights, monkeypatch):
    monkeypatch.setattr(studies.content, "WHOLE_READ_BYTES", 4)
    before = key_from(weights)
    assert before != plan_of(seeds=[0]).runs[0].run_key
    weights.write_text("weights of GPT-3")
    assert key_from(weights) != before


def test_moved_weights_are_the_same_run(weights, tmp_path):
    before = key_from(weights)
    (tmp_path / "elsewhere").mkdir()
    assert key_from(weights.rename(tmp_path / "elsewhere" / weights.name)) == before


def test_of_a_folder_the_weights_count_alone(weights, tmp_path):
    folder = tmp_path / "gpt2"
    folder.mkdir()
    weights.rename(folder / "model.safetensors")
    before = key_from(folder)
    (folder / "README.md").write_text("about them")
    assert key_from(folder) == before
    digests = {studies.content.weights_digest(p) for p in (folder, folder / "model.safetensors")}
    assert len(digests) == 1


def test_a_pinned_digest_refuses_other_weights(weights):
    digest = studies.content.weights_digest(weights)
    assert key_from(weights, weights_digest=digest) == key_from(weights)
    factors = {"model.weights": [None, str(weights)]}
    drawn, given = plan_of(model={"weights_digest": digest}, factors=factors).cells
    assert drawn.configuration["model"]["weights_digest"] is None
    assert given.configuration["model"]["weights_digest"] == digest
    weights.write_text("something else")
    with pytest.raises(AblationError, match=f"model.weights_digest = '{digest}'.*content changed"):
        key_from(weights, weights_digest=digest)


def test_weights_are_named_without_their_path():
    text = studies.content.weights_text("/home/me/gpt2.safetensors", "0123")
    assert text == "weights gpt2.safetensors (digest 0123)"


def test_large_files_go_by_name_and_size(text, monkeypatch):
    monkeypatch.setattr(studies.content, "WHOLE_READ_BYTES", 4)
    studies.content._read_digest.cache_clear()
    before = key_of(text)
    text.write_text("to be or not to me\n")
    assert key_of(text) == before
    text.write_text("longer than it was before\n")
    assert key_of(text) != before
    studies.content._read_digest.cache_clear()
