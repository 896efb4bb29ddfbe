import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import huggingface_hub
import pytest

from lightning_modules.data.corpora import open_corpus
from lightning_modules.data.corpus import DataError
from lightning_modules.data.token_store import build_token_store
from studies.schema import DataConfig

COMMIT = "b08601e04326c79dfdd32d625aee71d232d685c3"


def rows(*texts: str) -> datasets.Dataset:
    return datasets.Dataset.from_dict({"text": list(texts)})


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the hub was asked; it answers with a small data set."""
    seen: list[Any] = []

    def load(*args: Any, **options: Any) -> datasets.DatasetDict:
        seen.append((args, options))
        return datasets.DatasetDict(
            train=rows("train one", "train two"), validation=rows("held out"), test=rows("test")
        )

    def look_up(self: Any, name: str, **options: Any) -> SimpleNamespace:
        seen.append((name, options))
        return SimpleNamespace(sha=COMMIT)

    monkeypatch.setattr(datasets, "load_dataset", load)
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", look_up)
    return seen


def test_a_pinned_data_set_is_loaded_at_its_commit_and_nothing_else_is_asked(
    tmp_path: Path, calls: list[Any]
) -> None:
    data = DataConfig(corpus="hub:Salesforce/wikitext", subset="wikitext-2-raw-v1", revision=COMMIT)
    store = build_token_store(data, tmp_path)
    assert calls == [(("Salesforce/wikitext", "wikitext-2-raw-v1"), {"revision": COMMIT})]
    assert bytes(store.train.astype("u1")) == b"train one\ntrain two"
    assert bytes(store.validation.astype("u1")) == b"held out"

    calls.clear()
    assert build_token_store(data, tmp_path).digest == store.digest
    assert calls == []


def test_a_branch_is_looked_up_and_loaded_at_the_commit_that_it_was_at(
    tmp_path: Path, calls: list[Any]
) -> None:
    data = DataConfig(corpus="hub:roneneldan/TinyStories")
    build_token_store(data, tmp_path)
    assert calls[0][0] == "roneneldan/TinyStories"
    assert calls[0][1]["revision"] is None
    assert calls[1] == (("roneneldan/TinyStories", None), {"revision": COMMIT})
    assert len(calls) == 2


def test_without_a_validation_split_the_end_of_the_training_text_is_held_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = datasets.DatasetDict(train=rows("0123456789"), test=rows("test"))
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: answer)
    store = build_token_store(DataConfig(corpus="hub:a/b", revision=COMMIT), tmp_path)
    assert bytes(store.train.astype("u1")) == b"012345678"
    assert bytes(store.validation.astype("u1")) == b"9"


def test_a_data_set_without_a_train_split_or_the_column_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = datasets.DatasetDict(test=rows("test"))
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: answer)
    data = DataConfig(corpus="hub:a/b", revision=COMMIT)
    with pytest.raises(DataError, match="this one has test"):
        open_corpus(data).read(tmp_path)
    answer["train"] = rows("train").rename_column("text", "story")
    with pytest.raises(DataError, match="story") as error:
        open_corpus(data).read(tmp_path)
    assert error.value.problem.key == "data.text_column"


@pytest.mark.parametrize("name", ["wikitext", "a/b/c", "../etc/passwd", "a/b:c", ""])
def test_a_name_of_another_form_is_refused(name: str) -> None:
    with pytest.raises(DataError, match="hub:NAMESPACE/NAME"):
        open_corpus(DataConfig(corpus=f"hub:{name}"))


@pytest.mark.parametrize("revision", [None, COMMIT])
def test_without_network_the_error_says_what_to_do(tmp_path: Path, revision: str | None) -> None:
    # In a process of its own: the libraries read the variable when they are imported.
    program = (
        "import sys; from pathlib import Path; from studies.schema import DataConfig\n"
        "from studies.errors import AblationError\n"
        "from lightning_modules.data.token_store import build_token_store\n"
        f"data = DataConfig(corpus='hub:Salesforce/wikitext', revision={revision!r})\n"
        "try: build_token_store(data, Path(sys.argv[1]))\n"
        "except AblationError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "cache")],
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "data.corpus = 'hub:Salesforce/wikitext'" in done.stdout
    assert "pin data.revision to a full commit hash" in done.stdout
