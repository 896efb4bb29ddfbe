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


def test_large_files_go_by_name_and_size(text, monkeypatch):
    monkeypatch.setattr(studies.content, "WHOLE_READ_BYTES", 4)
    studies.content._read_digest.cache_clear()
    before = key_of(text)
    text.write_text("to be or not to me\n")
    assert key_of(text) == before
    text.write_text("longer than it was before\n")
    assert key_of(text) != before
    studies.content._read_digest.cache_clear()
